// The graph of a run, drawn by React Flow. Positions come from datanika/ui/run_graph.py.
import { memo, useMemo } from "react";
import { Background, Controls, Handle, MarkerType, Position, ReactFlow } from "@xyflow/react";
import "@xyflow/react/dist/style.css";

const seconds = (value) =>
  value == null ? "" : value < 10 ? `${value.toFixed(1)} s` : `${Math.round(value)} s`;

const testsClass = ({ tests, tests_passed, tests_warned, tests_failed }) =>
  tests_failed ? "is-failed" : tests_warned ? "is-warned" : tests_passed === tests ? "is-succeeded" : "";

const StepBox = memo(({ data }) => (
  <div className={`graph-box is-${data.state}`}>
    <div className="graph-box-header">
      <span className={`dot is-${data.state}`} />
      <strong>{data.label}</strong>
      <span className="graph-kind">{data.kind === "load" ? "dlt" : "dbt"}</span>
    </div>
    <Handle type="target" position={Position.Left} isConnectable={false} />
    <Handle type="source" position={Position.Right} isConnectable={false} />
  </div>
));

const NodeCard = memo(({ data }) => (
  <div className={`graph-node is-${data.state}`} title={`${data.label}: ${data.state}`}>
    <Handle type="target" position={Position.Left} isConnectable={false} />
    <span className={`dot is-${data.state}`} />
    <span className="graph-node-text">
      <span className="graph-node-label" dir="ltr">{data.label}</span>
      <span className="graph-node-facts">
        <span>{data.kind}</span>
        {data.rows != null && <span>{data.rowsText}</span>}
        {data.seconds != null && <span>{seconds(data.seconds)}</span>}
        {data.tests > 0 && (
          <span className={testsClass(data)}>
            {data.tests_failed ? "✗" : data.tests_warned ? "!" : "✓"} {data.tests_passed}/{data.tests}
          </span>
        )}
      </span>
    </span>
    <Handle type="source" position={Position.Right} isConnectable={false} />
  </div>
));

const nodeTypes = { box: StepBox, card: NodeCard };
const fixed = { draggable: false, connectable: false, selectable: false, focusable: false };

export function RunGraph({ graph, locale, label, rowsLabel }) {
  const nodes = useMemo(() => {
    const number = new Intl.NumberFormat(locale || "en");
    return [
      ...graph.boxes.map((box) => ({
        ...fixed,
        id: `box:${box.id}`,
        type: "box",
        position: { x: box.x, y: box.y },
        style: { width: box.width, height: box.height },
        data: box,
      })),
      ...graph.nodes.map((node) => ({
        ...fixed,
        id: node.id,
        type: "card",
        parentId: `box:${node.box}`,
        position: { x: node.x, y: node.y },
        data: {
          ...node,
          rowsText: node.rows == null ? "" : `${number.format(node.rows)} ${rowsLabel}`,
        },
      })),
    ];
  }, [graph, locale, rowsLabel]);
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
  return (
    <div className="run-graph" role="img" aria-label={label} dir="ltr">
      {shape > 0 && (
        <ReactFlow
          key={shape}
          nodes={nodes}
          edges={edges}
          nodeTypes={nodeTypes}
          fitView
          fitViewOptions={{ padding: 0.06, maxZoom: 1 }}
          minZoom={0.15}
          maxZoom={1.6}
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
