// Lineage from the REST API, as nodes that name each other by key.
import { ask } from "$/public/external/datanika/ui/wrappers/island/island.js";

const nodeOf = (table) => ({
  key: table.key,
  entry: table.entry_id,
  connection: table.connection_id,
  schema: table.schema_name,
  name: table.name,
  kind: table.kind,
  from: [],
  into: [],
});

function link(nodes, edges) {
  const seen = new Set();
  for (const { source, target } of edges) {
    const name = `${source}\n${target}`;
    if (source === target || seen.has(name) || !nodes.has(source) || !nodes.has(target)) continue;
    seen.add(name);
    nodes.get(source).into.push(target);
    nodes.get(target).from.push(source);
  }
  return nodes;
}

// All of the organisation's: `onPage` is told how many there are so far.
export async function readMap(api, onPage) {
  const nodes = new Map();
  const edges = [];
  let after = 0;
  while (after !== null) {
    const page = await ask(`${api}/catalog/lineage?after=${after}`);
    for (const table of page.tables)
      // A later page may bring the entry of what an earlier one only named.
      if (!nodes.has(table.key) || table.entry_id !== null) nodes.set(table.key, nodeOf(table));
    edges.push(...page.reads);
    onPage(nodes.size);
    after = page.next_after;
  }
  return link(nodes, edges);
}

export async function readAround(api, entry) {
  const graph = await ask(`${api}/catalog/${entry}/lineage?depth=20`);
  return link(new Map(graph.nodes.map((node) => [node.key, nodeOf(node)])), graph.edges);
}

export async function readColumns(api, entry) {
  return (await ask(`${api}/catalog/${entry}`)).columns.map((column) => column.name);
}

const tableKey = (node) => `${node.connection_id}:${node.schema_name}.${node.name}`;

// The way of a column: by table the columns on it, and the links between them.
export async function readPath(api, entry, column) {
  const query = `level=column&depth=20&column=${encodeURIComponent(column)}`;
  const graph = await ask(`${api}/catalog/${entry}/lineage?${query}`);
  const columns = new Map();
  const places = new Map();
  for (const node of graph.nodes) {
    places.set(node.key, { table: tableKey(node), column: node.column, made: node });
    if (!columns.has(tableKey(node))) columns.set(tableKey(node), new Set());
    if (node.column !== null) columns.get(tableKey(node)).add(node.column);
  }
  const edges = graph.edges
    .map((edge) => ({ source: places.get(edge.source), target: places.get(edge.target), kind: edge.kind }))
    .filter((edge) => edge.source && edge.target);
  return { entry, column, columns, edges };
}

// What a node stands among: everything before it and after it.
export function around(nodes, key) {
  const found = new Set([key]);
  for (const side of ["from", "into"]) {
    const queue = [key];
    for (let at = 0; at < queue.length; at++)
      for (const next of nodes.get(queue[at])?.[side] ?? []) {
        if (found.has(next)) continue;
        found.add(next);
        queue.push(next);
      }
  }
  return found;
}
