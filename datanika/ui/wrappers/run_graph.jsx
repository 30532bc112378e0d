// The graph of a run, drawn by React Flow. Positions come from datanika/services/run_graph.py.
import { memo, useEffect, useMemo, useRef } from "react";
import { Background, Controls, Handle, MarkerType, Position, ReactFlow } from "@xyflow/react";
import "@xyflow/react/dist/style.css";

const seconds = (value) =>
  value == null ? "" : value < 10 ? `${value.toFixed(1)} s` : `${Math.round(value)} s`;

const testsClass = ({ tests, tests_passed, tests_warned, tests_failed }) =>
  tests_failed ? "is-failed" : tests_warned ? "is-warned" : tests_passed === tests ? "is-succeeded" : "";

const StepBox = memo(({ data }) => (
  <div className={`graph-box is-${data.state}${data.isSelected ? " is-selected" : ""}`}>
    <div className="graph-box-header">
      <span className={`dot is-${data.state}`} />
      <button type="button" className="link" dir="ltr">
        {data.label}
        <span className="visually-hidden"> {data.state}</span>
      </button>
      <span className="graph-kind">{data.kind === "load" ? "dlt" : "dbt"}</span>
    </div>
    <Handle type="target" position={Position.Left} isConnectable={false} />
    <Handle type="source" position={Position.Right} isConnectable={false} />
  </div>
));

const NodeCard = memo(({ data }) => (
  <button
    type="button"
    className={`graph-node is-${data.state}${data.isSelected ? " is-selected" : ""}`}
    title={`${data.label}: ${data.state}`}
  >
    <Handle type="target" position={Position.Left} isConnectable={false} />
    <span className={`dot is-${data.state}`} />
    <span className="graph-node-text">
      <span className="graph-node-label" dir="ltr">
        {data.label}
        <span className="visually-hidden"> {data.state}</span>
      </span>
      <span className="graph-node-facts">
        <span>{data.kind}</span>
        {data.rows != null && <span>{data.rowsText}</span>}
        {data.speedText ? <span>{data.speedText}</span> : null}
        {data.seconds != null && <span>{seconds(data.seconds)}</span>}
        {data.tests > 0 && (
          <span className={testsClass(data)}>
            {data.tests_failed ? "✗" : data.tests_warned ? "!" : "✓"} {data.tests_passed}/{data.tests}
          </span>
        )}
      </span>
    </span>
    {data.state === "running" && data.rowsTotal > 0 && (
      <span
        className="graph-progress"
        style={{ width: `${Math.min(100, ((data.rows ?? 0) / data.rowsTotal) * 100)}%` }}
      />
    )}
    <Handle type="source" position={Position.Right} isConnectable={false} />
  </button>
));

const nodeTypes = { box: StepBox, card: NodeCard };
const fixed = { draggable: false, connectable: false, selectable: false, focusable: false };
const MANY = 150;
const FIT = { padding: 0.06, maxZoom: 1 };

// `onSelect` gets the id of a node, or `box:` and the key of a step.
export function RunGraph({ graph, locale, label, rowsLabel, speedLabel, selected, onSelect }) {
  const nodes = useMemo(() => {
    const number = new Intl.NumberFormat(locale || "en");
    const short = new Intl.NumberFormat(locale || "en", { notation: "compact" });
    return [
      ...graph.boxes.map((box) => ({
        ...fixed,
        id: `box:${box.id}`,
        type: "box",
        position: { x: box.x, y: box.y },
        style: { width: box.width, height: box.height },
        data: { ...box, isSelected: selected === `box:${box.id}` },
      })),
      ...graph.nodes.map((node) => ({
        ...fixed,
        id: node.id,
        type: "card",
        parentId: `box:${node.box}`,
        position: { x: node.x, y: node.y },
        data: {
          ...node,
          isSelected: selected === node.id,
          rowsText: node.rows == null ? "" : `${number.format(node.rows)} ${rowsLabel}`,
          speedText:
            node.state === "running" && node.speed
              ? speedLabel.replace("{rows}", short.format(node.speed))
              : "",
        },
      })),
    ];
  }, [graph, locale, rowsLabel, speedLabel, selected]);
  const edges = useMemo(() => {
    const states = Object.fromEntries(graph.nodes.map((node) => [node.id, node.state]));
    return graph.edges.map((edge) => ({
      id: `${edge.source}>${edge.target}`,
      source: edge.source,
      target: edge.target,
      animated: states[edge.target] === "running",
      focusable: false,
      markerEnd: { type: MarkerType.ArrowClosed, width: 14, height: 14 },
    }));
  }, [graph]);
  // Fit again when a node appears, not when one changes its state.
  const shape = graph.nodes.length + graph.boxes.length;
  // And when the room changes.
  const view = useRef(null);
  const flow = useRef(null);
  useEffect(() => {
    const watch = new ResizeObserver(() => flow.current?.fitView(FIT));
    watch.observe(view.current);
    return () => watch.disconnect();
  }, []);
  return (
    <div ref={view} className="run-graph" role="group" aria-label={label} dir="ltr">
      {shape > 0 && (
        <ReactFlow
          key={shape}
          nodes={nodes}
          edges={edges}
          nodeTypes={nodeTypes}
          fitView
          fitViewOptions={FIT}
          onInit={(instance) => (flow.current = instance)}
          minZoom={0.15}
          maxZoom={1.6}
          onNodeClick={(event, node) => onSelect?.(node.id)}
          onlyRenderVisibleElements={graph.nodes.length > MANY}
          nodesDraggable={false}
          nodesConnectable={false}
          elementsSelectable={false}
          zoomOnScroll={false}
          preventScrolling={false}
          disableKeyboardA11y
          proOptions={{ hideAttribution: true }}
        >
          <Background gap={20} size={1} />
          <Controls showInteractive={false} />
        </ReactFlow>
      )}
    </div>
  );
}
