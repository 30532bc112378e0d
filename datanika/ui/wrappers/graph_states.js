// What the steps of a run say, put over the drawing of its graph. The drawing is made by
// datanika/services/run_graph.py, which names nodes the same way.

const label = (step) => (step.name || step.node).split(".").pop();

export const nodeOf = (step) => (step.kind === "table" ? step.node : `${step.step_key}/${label(step)}`);

// The node that a dbt id names: `source.<project>.<schema>.<table>`, or a model's name.
function tested(other, step, byNode, byName, nodes) {
  const own = byNode.get(`${step.step_key}\n${other}`);
  if (own) return own;
  const parts = other.split(".");
  if (parts[0] === "source" && parts.length >= 3) {
    const table = parts.slice(-2).join(".");
    return nodes.has(table) ? table : null;
  }
  return byName.get(parts[parts.length - 1]) ?? null;
}

export function overlay(graph, steps) {
  if (!steps.length || !graph.boxes.length) return graph;
  const nodes = new Map(graph.nodes.map((node) => [node.id, node]));
  const byNode = new Map();
  const byName = new Map();
  const boxes = new Map();
  for (const step of steps) {
    if (!step.node) boxes.set(step.step_key, step.state);
    else if (step.kind !== "test") {
      const id = nodeOf(step);
      byNode.set(`${step.step_key}\n${step.node}`, id);
      byName.set(step.node.split(".").pop(), id);
    }
  }
  const changed = new Map();
  const change = (id, values) => changed.set(id, { ...(changed.get(id) ?? nodes.get(id)), ...values });
  for (const node of graph.nodes)
    if (node.tests) change(node.id, { tests: 0, tests_passed: 0, tests_warned: 0, tests_failed: 0 });
  for (const step of steps) {
    if (!step.node) continue;
    if (step.kind === "test") {
      const found = new Set(step.depends_on.map((other) => tested(other, step, byNode, byName, nodes)));
      for (const id of found) {
        if (!id || !nodes.has(id)) continue;
        const node = changed.get(id) ?? nodes.get(id);
        change(id, {
          tests: node.tests + 1,
          tests_passed: node.tests_passed + (step.state === "succeeded"),
          tests_warned: node.tests_warned + (step.state === "warned"),
          tests_failed: node.tests_failed + (step.state === "failed"),
        });
      }
    } else if (nodes.has(nodeOf(step))) {
      change(nodeOf(step), {
        state: step.state,
        rows: step.rows,
        rowsTotal: step.rows_total,
        speed: step.rows_per_second,
        seconds: step.duration_seconds,
        kind: step.kind,
      });
    }
  }
  return {
    edges: graph.edges,
    boxes: graph.boxes.map((box) => ({ ...box, state: boxes.get(box.id) ?? box.state })),
    nodes: graph.nodes.map((node) => changed.get(node.id) ?? node),
  };
}
