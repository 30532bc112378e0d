// The builder of pipelines: a graph that can be drawn, settings beside it, and the same as YAML.
import { memo, useCallback, useEffect, useMemo, useRef, useState } from "react";
import {
  applyNodeChanges, Background, Controls, Handle, MarkerType, Position, ReactFlow, ReactFlowProvider, useReactFlow,
} from "@xyflow/react";
import "@xyflow/react/dist/style.css";
import { CodeEditor } from "$/public/external/datanika/ui/wrappers/code_editor/code_editor.jsx";
import {
  HEIGHT, WIDTH, circle, connected, dependsOn, disconnected, freeKey, layout, renamed, replaced, stepsOf, tablesOf, without,
} from "./builder_graph.jsx";
import { StepPanel } from "./builder_step.jsx";

const DRAGGED = "application/x-datanika-step";
const KEY = /^[a-z][a-z0-9_]{0,62}$/;
const MESSAGE_MS = 6000;

const StepNode = memo(({ data, selected }) => (
  <div className={`builder-node is-${data.kind}${selected ? " is-chosen" : ""}${data.wrong ? " is-wrong" : ""}`}>
    <Handle type="target" position={Position.Left} isConnectable={!data.locked} />
    <span className="builder-node-head">
      <span className="graph-kind">{data.kind === "load" ? "dlt" : "dbt"}</span>
      <strong dir="ltr">{data.key}</strong>
      {data.wrong > 0 && <span className="builder-node-wrong" title={data.wrongText}>{data.wrong}</span>}
    </span>
    <span className="builder-node-line" dir="ltr">{data.line}</span>
    <span className="builder-node-line muted" dir="ltr">{data.more}</span>
    <Handle type="source" position={Position.Right} isConnectable={!data.locked} />
  </div>
));
const nodeTypes = { step: StepNode };

function described(step, names, texts) {
  if (step.kind === "transform")
    return {
      line: `dbt ${step.command ?? "build"}`,
      more: [names[step.destination_id], ...(Array.isArray(step.select) ? step.select : [])].filter(Boolean).join(" · "),
    };
  return {
    line: `${names[step.source_id] ?? "?"} → ${names[step.destination_id] ?? "?"}`,
    more: [step.target_schema, `${tablesOf(step).length} ${texts["builder.tables_unit"]}`].filter(Boolean).join(" · "),
  };
}

export function PipelineBuilder(props) {
  return (
    <ReactFlowProvider>
      <Builder {...props} />
    </ReactFlowProvider>
  );
}

function Builder({
  draft: given, draftNumber, yaml: givenYaml, yamlNumber, problems, isLocked, connections, texts, locale, api,
  readOnly, mayIntrospect, onDraft, onYaml,
}) {
  const [draft, setDraft] = useState(given);
  const [yaml, setYaml] = useState(givenYaml);
  const [chosen, setChosen] = useState(null);
  const [tab, setTab] = useState("yaml");
  const [message, setMessage] = useState("");
  const [catalog, setCatalog] = useState({});
  const [nodes, setNodes] = useState([]);
  const moved = useRef({});
  const timer = useRef(null);
  const flow = useReactFlow();
  const locked = readOnly || isLocked;

  const numbers = useRef([draftNumber, yamlNumber]);
  useEffect(() => {
    const [draftBefore, yamlBefore] = numbers.current;
    numbers.current = [draftNumber, yamlNumber];
    // The connection came back with a state that knows only what is saved: it is told the draft.
    if (draftNumber < draftBefore || yamlNumber < yamlBefore) {
      onYaml?.(yaml);
      return;
    }
    if (draftNumber !== draftBefore) setDraft(given);
    if (yamlNumber !== yamlBefore) setYaml(givenYaml);
  }, [draftNumber, yamlNumber]);
  useEffect(() => () => clearTimeout(timer.current), []);

  const steps = stepsOf(draft);
  const step = steps.find((one) => one.key === chosen);
  const names = useMemo(() => Object.fromEntries(connections.map((one) => [one.id, one.name])), [connections]);

  const say = useCallback((text) => {
    setMessage(text);
    clearTimeout(timer.current);
    timer.current = setTimeout(() => setMessage(""), MESSAGE_MS);
  }, []);
  const change = useCallback(
    (next) => {
      setDraft(next);
      onDraft?.(next);
    },
    [onDraft],
  );

  useEffect(() => {
    const places = layout(steps);
    const wrong = steps.map((_, index) => problems.filter((one) => `${one.field}.`.startsWith(`steps.${index}.`)));
    setNodes((old) => {
      const before = Object.fromEntries(old.map((node) => [node.id, node]));
      return steps.map((one, index) => ({
        ...(before[one.key] ? { measured: before[one.key].measured } : {}),
        id: one.key,
        type: "step",
        position: moved.current[one.key] ?? places[one.key],
        selected: one.key === chosen,
        ariaLabel: `${one.key}, ${one.kind ?? "load"}`,
        style: { width: WIDTH, height: HEIGHT },
        data: {
          key: one.key,
          kind: one.kind === "transform" ? "transform" : "load",
          wrong: wrong[index].length,
          wrongText: wrong[index].map((each) => each.message).join("\n"),
          locked,
          ...described(one, names, texts),
        },
      }));
    });
  }, [draft, problems, names, texts, chosen, locked]);
  // Show all of it again when a step comes or goes.
  const keys = steps.map((one) => one.key).join(" ");
  useEffect(() => {
    const fit = setTimeout(() => flow.fitView({ padding: 0.12, maxZoom: 1, duration: 150 }), 60);
    return () => clearTimeout(fit);
  }, [keys]);

  const edges = useMemo(() => {
    const there = new Set(steps.map((one) => one.key));
    return steps.flatMap((one) =>
      dependsOn(one).filter((key) => there.has(key)).map((key) => ({
        id: `${key}>${one.key}`,
        source: key,
        target: one.key,
        deletable: !locked,
        ariaLabel: `${key} → ${one.key}`,
        markerEnd: { type: MarkerType.ArrowClosed, width: 16, height: 16 },
      })),
    );
  }, [draft, locked]);

  const choose = (key) => {
    setChosen(key);
    if (key) setTab("step");
  };
  const add = (kind, position) => {
    const key = freeKey(steps, kind);
    const last = steps[steps.length - 1];
    const able = connections.filter((one) => one[kind === "load" ? "destination" : "transforms"]);
    const destination = last?.destination_id && able.some((one) => one.id === last.destination_id)
      ? last.destination_id : able.length === 1 ? able[0].id : undefined;
    const base = destination ? { destination_id: destination } : {};
    const loads = steps.filter((one) => one.kind !== "transform").map((one) => one.key);
    const created = kind === "load"
      ? { key, kind, ...base, target_schema: "raw", tables: [] }
      : { key, kind, ...(loads.length ? { depends_on: loads } : {}), ...base };
    if (position) moved.current[key] = position;
    change({ ...draft, steps: [...steps, created] });
    choose(key);
  };
  const refuse = (source, target) => {
    const way = circle(steps, source, target);
    if (way) say(`${texts["builder.circle"]} ${way.join(" → ")}`);
    return !!way;
  };
  const connect = (source, target) => {
    if (!refuse(source, target)) change(connected(draft, source, target));
  };
  const remove = (key) => {
    change(without(draft, key));
    setChosen(null);
    setTab("yaml");
  };
  const rename = (from, to) => {
    if (!KEY.test(to)) return say(texts["builder.key_invalid"]);
    if (steps.some((one) => one.key === to)) return say(texts["builder.key_taken"]);
    moved.current[to] = moved.current[from];
    setChosen(to);
    change(renamed(draft, from, to));
  };
  const learn = useCallback((source, tables) => {
    setCatalog((old) => ({
      ...old,
      [source]: { ...old[source], ...Object.fromEntries(tables.map((one) => [one.name, one])) },
    }));
  }, []);

  const drop = (event) => {
    const kind = event.dataTransfer.getData(DRAGGED);
    if (kind && !locked) {
      event.preventDefault();
      add(kind, flow.screenToFlowPosition({ x: event.clientX, y: event.clientY }));
    }
  };
  const changeNodes = (changes) => {
    for (const one of changes)
      if (one.type === "position" && one.position) moved.current[one.id] = one.position;
    const removed = changes.filter((one) => one.type === "remove").map((one) => one.id);
    if (removed.length) {
      change(removed.reduce((next, key) => without(next, key), draft));
      setChosen(null);
      return;
    }
    const selected = changes.find((one) => one.type === "select" && one.selected);
    if (selected) choose(selected.id);
    setNodes((old) => applyNodeChanges(changes, old));
  };
  const changeEdges = (changes) => {
    const gone = changes.filter((one) => one.type === "remove").map((one) => one.id.split(">"));
    if (gone.length) change(gone.reduce((next, [source, target]) => disconnected(next, source, target), draft));
  };
  const tidy = () => {
    moved.current = {};
    setDraft({ ...draft });
    setTimeout(() => flow.fitView({ padding: 0.12, maxZoom: 1, duration: 200 }), 60);
  };
  const completions = useMemo(
    () => [
      ...connections.map((one) => ({ label: String(one.id), detail: one.name, type: "class", apply: String(one.id) })),
      ...["steps", "key", "kind", "depends_on", "source_id", "destination_id", "target_schema", "source_schema", "tables",
        "name", "target", "write_disposition", "primary_key", "merge_strategy", "cursor", "column", "initial_value",
        "lag_seconds", "lag", "columns", "filters", "operator", "value", "values", "hash", "mask", "batch_rows", "delete_column",
        "schema_contract", "on_bad_row", "sync", "deletes", "command", "select", "exclude", "full_refresh", "threads",
        "default_schema", "fail_fast", "store_failures", "retry", "retries", "delay_seconds", "backoff", "timeout_seconds",
      ].map((label) => ({ label, type: "property" })),
    ],
    [connections],
  );

  const palette = [
    ["load", texts["builder.add_load"]],
    ["transform", texts["builder.add_transform"]],
  ];
  const tabs = [
    ["step", texts["builder.step"]],
    ["yaml", "YAML"],
  ];
  return (
    <div className="builder">
      <div className="builder-canvas-side">
        {!readOnly && (
          <div className="builder-palette" role="toolbar" aria-label={texts["builder.palette"]}>
            {palette.map(([kind, label]) => (
              <button
                key={kind}
                type="button"
                className={`button builder-add-step is-${kind}`}
                draggable={!locked}
                disabled={locked}
                onDragStart={(event) => event.dataTransfer.setData(DRAGGED, kind)}
                onClick={() => add(kind)}
              >
                <span aria-hidden="true">+</span> {label}
              </button>
            ))}
            <button type="button" className="button" onClick={tidy}>{texts["builder.tidy"]}</button>
            <span className="muted builder-hint">{texts["builder.hint"]}</span>
          </div>
        )}
        <div className="builder-canvas" dir="ltr" onDrop={drop} onDragOver={(event) => !locked && event.preventDefault()}>
          <ReactFlow
            nodes={nodes}
            edges={edges}
            nodeTypes={nodeTypes}
            onNodesChange={changeNodes}
            onEdgesChange={changeEdges}
            onNodeClick={(_, node) => choose(node.id)}
            onConnect={({ source, target }) => connect(source, target)}
            isValidConnection={({ source, target }) => !circle(steps, source, target)}
            onConnectEnd={(_, state) => {
              if (state.toNode && state.fromNode && !state.isValid) {
                const forward = state.fromHandle?.type !== "target";
                refuse(...(forward ? [state.fromNode.id, state.toNode.id] : [state.toNode.id, state.fromNode.id]));
              }
            }}
            connectionRadius={36}
            nodesConnectable={!locked}
            elementsSelectable
            deleteKeyCode={locked ? null : ["Delete", "Backspace"]}
            fitView
            fitViewOptions={{ padding: 0.12, maxZoom: 1 }}
            minZoom={0.1}
            maxZoom={1.6}
            zoomOnScroll={false}
            preventScrolling={false}
            proOptions={{ hideAttribution: true }}
          >
            <Background gap={20} size={1} />
            <Controls showInteractive={false} />
          </ReactFlow>
          {steps.length === 0 && (
            <div className="builder-empty" dir="auto">
              <strong>{texts["builder.empty_title"]}</strong>
              <p>{texts["builder.empty_text"]}</p>
            </div>
          )}
          {message && <div className="builder-message" role="alert" dir="auto">{message}</div>}
        </div>
      </div>
      <div className="builder-panel">
        <div className="tabs" role="tablist" aria-label={texts["builder.panel"]}>
          {tabs.map(([name, label]) => (
            <button key={name} type="button" role="tab" id={`builder-tab-${name}`} aria-selected={tab === name}
              aria-controls="builder-tabpanel" onClick={() => setTab(name)}>
              {label}
            </button>
          ))}
        </div>
        <div role="tabpanel" id="builder-tabpanel" aria-labelledby={`builder-tab-${tab}`} className="builder-tabpanel">
          {isLocked && !readOnly && <p className="builder-locked" role="status">{texts["builder.locked"]}</p>}
          {tab === "step" && !step && <p className="log-empty">{texts["builder.choose_step"]}</p>}
          {tab === "step" && step && (
            <StepPanel
              key={step.key}
              step={step}
              steps={steps}
              disabled={locked}
              texts={texts}
              locale={locale}
              api={api}
              connections={connections}
              mayIntrospect={mayIntrospect}
              catalog={catalog}
              problems={problems}
              onCatalog={learn}
              onChange={(next) => change(replaced(draft, step.key, next))}
              onRename={rename}
              onRemove={remove}
              onConnect={connect}
              onDisconnect={(source, target) => change(disconnected(draft, source, target))}
            />
          )}
          {tab === "yaml" && (
            <CodeEditor
              value={yaml}
              language="yaml"
              label="YAML"
              height="560px"
              readOnly={readOnly}
              completions={completions}
              diagnostics={problems}
              onChange={(text) => {
                if (readOnly || text === yaml) return;
                setYaml(text);
                onYaml?.(text);
              }}
            />
          )}
        </div>
      </div>
    </div>
  );
}
