// A run, followed through the API's events: facts, graph, steps, verdicts, log.
import { lazy, Suspense, useEffect, useMemo, useRef, useState, useSyncExternalStore } from "react";
import { ask, compact, fill, whole } from "$/public/external/datanika/ui/wrappers/island/island.js";
import { Duration, LocalTime } from "$/public/external/datanika/ui/wrappers/values/values.jsx";
import { follow, RunStore } from "$/public/external/datanika/ui/wrappers/run_live/run_stream.js";
import { overlay, nodeOf } from "$/public/external/datanika/ui/wrappers/run_live/graph_states.js";
import { RunLog } from "$/public/external/datanika/ui/wrappers/run_live/run_log.jsx";
import { StepPanel } from "$/public/external/datanika/ui/wrappers/run_live/run_panel.jsx";
import {
  StepTable,
  useNow,
  Verdicts,
} from "$/public/external/datanika/ui/wrappers/run_live/run_steps.jsx";

// React Flow is a third of the page: the rest does not wait for it.
const RunGraph = lazy(() =>
  import("$/public/external/datanika/ui/wrappers/run_live/run_graph.jsx").then((found) => ({
    default: found.RunGraph,
  })),
);

const FINAL = ["succeeded", "failed", "cancelled", "skipped", "upstream_stale"];
const NO_FILTER = { search: "", level: "debug", step: "", node: "" };

// The drawing of the graph, read again when something appears that is not in it.
function useGraph(address, steps) {
  const [graph, setGraph] = useState({ boxes: [], nodes: [], edges: [] });
  const unknown = useMemo(() => {
    const known = new Set(graph.nodes.map((node) => node.id));
    return steps.filter((step) => step.node && step.kind && step.kind !== "test" && !known.has(nodeOf(step)))
      .length;
  }, [steps, graph]);
  const asked = useRef(null);
  const [failures, setFailures] = useState(0);
  useEffect(() => {
    if (asked.current === unknown && graph.boxes.length) return undefined;
    const stop = new AbortController();
    const timer = setTimeout(
      () => {
        ask(`${address}/graph`, stop.signal).then(
          (found) => {
            asked.current = unknown;
            setGraph(found);
          },
          () => stop.signal.aborted || setFailures(failures + 1),
        );
      },
      failures ? 3000 : graph.boxes.length ? 700 : 0,
    );
    return () => {
      clearTimeout(timer);
      stop.abort();
    };
  }, [address, unknown, failures]);
  return useMemo(() => overlay(graph, steps), [graph, steps]);
}

// Rows of the loads so far: what a load step says in the end, until then what its tables say.
function rowsOf(steps) {
  let total = null;
  for (const parent of steps.filter((step) => !step.node && step.kind === "load")) {
    const inside = steps.filter((step) => step.node && step.step_key === parent.step_key);
    const parts = inside.map((step) => step.rows).filter((rows) => rows != null);
    const rows = parent.rows ?? (parts.length ? parts.reduce((a, b) => a + b, 0) : null);
    if (rows != null) total = (total ?? 0) + rows;
  }
  return total;
}

function Facts({ run, steps, graph, isLive, locale, texts }) {
  const now = useNow(isLive);
  const rows = rowsOf(steps);
  const loads = steps.filter((step) => !step.node && step.kind === "load" && step.started_at);
  const begin = Math.min(...loads.map((step) => new Date(step.started_at).getTime()));
  const end = Math.max(
    ...loads.map((step) => (step.finished_at ? new Date(step.finished_at).getTime() : now)),
  );
  const speed = rows != null && end > begin ? (rows * 1000) / (end - begin) : null;
  const done = graph.nodes.filter((node) => !["pending", "running"].includes(node.state)).length;
  const facts = [
    [texts["column.duration"], <Duration start={run.started_at} end={run.finished_at} locale={locale} />],
    [texts["column.rows"], rows == null ? <span className="muted">–</span> : whole(rows, locale)],
    [
      texts["run.speed"],
      speed == null ? (
        <span className="muted">–</span>
      ) : (
        fill(texts["run.rows_per_second"], { rows: compact(speed, locale) })
      ),
    ],
    [
      texts["run.done"],
      <>
        {whole(done, locale)} / {whole(graph.nodes.length, locale)}
        {isLive && graph.nodes.length > 0 && (
          <progress
            className="progress"
            max={graph.nodes.length}
            value={done}
            aria-label={texts["run.progress"]}
          />
        )}
      </>,
    ],
    [texts["column.started"], <LocalTime value={run.started_at} locale={locale} />],
    [texts["column.trigger"], run.trigger],
    [texts["run.attempt"], whole(run.attempt, locale)],
  ];
  return (
    <dl className="card facts">
      {facts.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

export function RunLive({ address, run: given, logAfter, logSkipped, locale, texts, onChange }) {
  const [store] = useState(() => new RunStore());
  const version = useSyncExternalStore(store.subscribe, store.snapshot, store.snapshot);
  const [selected, setSelected] = useState(null);
  const [filter, setFilter] = useState(NO_FILTER);
  const told = useRef(given.state);
  useEffect(
    () =>
      follow(address, logAfter, store, (run) => {
        // The rest of the page is drawn by the server: it has to hear of it.
        const news = `${run.state} ${run.attempt}`;
        if (news !== told.current) onChange?.(run.state);
        told.current = news;
      }),
    [address],
  );
  const run = store.run ?? given;
  const isLive = !FINAL.includes(run.state);
  const steps = useMemo(() => [...store.steps.values()], [version]);
  const graph = useGraph(address, steps);
  const choose = (change) => {
    store.log.setFilter(change);
    setFilter(change);
  };
  const select = (step) => setSelected(`${step.step_key}\n${step.node}`);
  const step = selected == null ? null : store.steps.get(selected);
  const onNode = (id) => {
    const found = steps.find((one) => (one.node ? nodeOf(one) === id : `box:${one.step_key}` === id));
    if (found) select(found);
  };
  const page = { locale, texts };
  return (
    <div className="run-live">
      <Facts {...{ run, steps, graph, isLive, ...page }} />
      {store.isOffline && <div className="notice bad" role="status">{texts["run.reconnecting"]}</div>}
      {store.refused && <div className="notice bad" role="alert">{store.refused.detail}</div>}
      <div className={step ? "split" : ""}>
        <section className="card">
          <div className="card-head">
            <h2>{texts["run.graph"]}</h2>
            <span className="muted">{texts["run.graph_text"]}</span>
          </div>
          <Suspense fallback={<div className="run-graph" />}>
            <RunGraph
              graph={graph}
              locale={locale}
              label={texts["run.graph"]}
              rowsLabel={texts["run.rows_unit"]}
              speedLabel={texts["run.rows_per_second"]}
              selected={step && (step.node ? nodeOf(step) : `box:${step.step_key}`)}
              onSelect={onNode}
            />
          </Suspense>
        </section>
        {step && (
          <StepPanel
            step={step}
            log={store.log}
            onClose={() => setSelected(null)}
            onLog={() => {
              choose({ ...NO_FILTER, step: step.step_key, node: step.node });
              document.getElementById("log")?.scrollIntoView({ behavior: "smooth" });
            }}
            {...page}
          />
        )}
      </div>
      <StepTable {...{ steps, run, isLive, ...page }} onSelect={select} />
      <Verdicts {...{ steps, ...page }} onSelect={select} />
      <RunLog
        {...{ store, version, address, isLive, filter, ...page }}
        runId={run.id}
        steps={steps.filter((one) => !one.node).map((one) => one.step_key)}
        setFilter={choose}
        skipped={logSkipped}
      />
    </div>
  );
}
