// Draws a lineage graph on a canvas. Far away a table is a coloured box and a link a straight line;
// near by both say more. Only what is in view is drawn.
import { HEAD, LINE, NODE_WIDTH } from "./lineage_layout.js";

const FAR = 0.34;
const NEAR = 0.55;
const KINDS = {
  source: "--idle", table: "--run", view: "--brand", seed: "--warn", snapshot: "--warn",
};
const EDGES = { transformed: "--run", aggregated: "--warn", unknown: "--idle", indirect: "--idle" };
const NAMES = [
  "--surface", "--surface-2", "--line", "--line-strong", "--text", "--muted", "--brand",
  "--brand-soft", "--ok", "--run", "--warn", "--bad", "--idle",
];

// The style sheet's tokens, so that the canvas has the page's theme.
export function coloursOf(element) {
  const style = getComputedStyle(element);
  return Object.fromEntries(NAMES.map((name) => [name, style.getPropertyValue(name).trim()]));
}

export const kindColour = (kind) => KINDS[kind] ?? "--ok";

function shorten(context, text, width) {
  if (context.measureText(text).width <= width) return text;
  let [low, high] = [0, text.length];
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (context.measureText(text.slice(0, middle) + "…").width <= width) low = middle;
    else high = middle - 1;
  }
  return text.slice(0, low) + "…";
}

// Where a link of a column leaves and arrives; of a whole table: at its head.
function portOf(node, column) {
  const at = column == null ? -1 : (node.shown ?? []).indexOf(column);
  return node.y + (at < 0 ? HEAD / 2 : HEAD + at * LINE + LINE / 2);
}

function trace(context, nodes, edge, isFar) {
  const [from, to] = [nodes[edge.from], nodes[edge.to]];
  const [x1, y1] = [from.x + NODE_WIDTH, portOf(from, edge.fromColumn)];
  const [x2, y2] = [to.x, portOf(to, edge.toColumn)];
  context.moveTo(x1, y1);
  if (isFar) return context.lineTo(x2, y2);
  const bend = Math.max(40, Math.abs(x2 - x1) / 2);
  context.bezierCurveTo(x1 + bend, y1, x2 - bend, y2, x2, y2);
}

function drawEdges(context, scene, seen, isFar, scale, colours) {
  const { nodes } = scene;
  const groups = new Map();
  for (const edge of scene.edges) {
    const [from, to] = [nodes[edge.from], nodes[edge.to]];
    if (from.x > seen.right && to.x > seen.right) continue;
    if (from.x + NODE_WIDTH < seen.left && to.x + NODE_WIDTH < seen.left) continue;
    if (from.y > seen.bottom && to.y > seen.bottom) continue;
    if (from.y + from.h < seen.top && to.y + to.h < seen.top) continue;
    const lit = !scene.near || (scene.near.has(edge.from) && scene.near.has(edge.to));
    const colour = edge.kind ? (EDGES[edge.kind] ?? "--brand") : lit && scene.near ? "--brand" : "--line-strong";
    const name = `${lit ? 1 : 0}${edge.kind === "unknown" ? 1 : 0}${colour}`;
    if (!groups.has(name)) groups.set(name, { lit, dashed: edge.kind === "unknown", colour, edges: [] });
    groups.get(name).edges.push(edge);
  }
  context.lineWidth = Math.max(1, 1.6 * scale) / scale;
  for (const { lit, dashed, colour, edges } of [...groups.values()].sort((a, b) => a.lit - b.lit)) {
    context.globalAlpha = lit ? 1 : 0.25;
    context.strokeStyle = colours[colour];
    context.setLineDash(dashed ? [5, 4] : []);
    context.beginPath();
    for (const edge of edges) trace(context, nodes, edge, isFar);
    context.stroke();
  }
  context.setLineDash([]);
  context.globalAlpha = 1;
}

function drawFar(context, scene, shown, scale, colours) {
  const groups = new Map();
  for (const index of shown) {
    const node = scene.nodes[index];
    const lit = !scene.near || scene.near.has(index);
    const name = `${lit}${kindColour(node.kind)}`;
    if (!groups.has(name)) groups.set(name, { lit, colour: kindColour(node.kind), members: [] });
    groups.get(name).members.push(node);
  }
  for (const { lit, colour, members } of groups.values()) {
    context.globalAlpha = lit ? 0.85 : 0.2;
    context.fillStyle = colours[colour];
    for (const node of members) context.fillRect(node.x, node.y, NODE_WIDTH, node.h);
  }
  context.globalAlpha = 1;
}

function drawNear(context, scene, shown, scale, colours) {
  for (const index of shown) {
    const node = scene.nodes[index];
    const isChosen = index === scene.selected;
    context.globalAlpha = !scene.near || scene.near.has(index) ? 1 : 0.3;
    context.beginPath();
    context.roundRect(node.x, node.y, NODE_WIDTH, node.h, 8);
    context.fillStyle = colours[isChosen ? "--brand-soft" : "--surface"];
    context.fill();
    context.lineWidth = isChosen ? 2.5 : 1.2;
    context.strokeStyle = colours[isChosen ? "--brand" : "--line-strong"];
    context.stroke();
    context.fillStyle = colours[kindColour(node.kind)];
    context.fillRect(node.x + 8, node.y + 9, 4, HEAD - 18);
    context.textBaseline = "middle";
    context.font = "600 13px system-ui, sans-serif";
    node.label ??= shorten(context, node.name, NODE_WIDTH - 34);
    context.fillStyle = colours["--text"];
    if (scale > NEAR) {
      context.fillText(node.label, node.x + 20, node.y + 12);
      context.font = "11px system-ui, sans-serif";
      node.place ??= shorten(context, node.schema, NODE_WIDTH - 34);
      context.fillStyle = colours["--muted"];
      context.fillText(node.place, node.x + 20, node.y + 25);
    } else context.fillText(node.label, node.x + 20, node.y + HEAD / 2);
    if (node.shown?.length) drawColumns(context, node, scene, scale, colours);
  }
  context.globalAlpha = 1;
}

function drawColumns(context, node, scene, scale, colours) {
  context.fillStyle = colours["--line"];
  context.fillRect(node.x, node.y + HEAD - 1, NODE_WIDTH, 1);
  context.font = "12px ui-monospace, Menlo, Consolas, monospace";
  node.shown.forEach((column, at) => {
    const y = node.y + HEAD + at * LINE;
    const isLit = scene.columns?.get(node.key)?.has(column);
    if (isLit) {
      context.fillStyle = colours["--brand-soft"];
      context.fillRect(node.x + 3, y + 2, NODE_WIDTH - 6, LINE - 2);
    }
    if (scale <= FAR) return;
    context.fillStyle = colours[isLit ? "--text" : "--muted"];
    node.cut ??= new Map();
    if (!node.cut.has(column)) node.cut.set(column, shorten(context, column, NODE_WIDTH - 30));
    context.fillText(node.cut.get(column), node.x + 14, y + LINE / 2 + 1);
  });
}

// `camera`: the world's point at the upper left corner, and how large the world is drawn.
export function paint(context, size, scene, camera, colours) {
  const { width, height, ratio } = size;
  const { scale } = camera;
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.clearRect(0, 0, width * ratio, height * ratio);
  context.setTransform(ratio * scale, 0, 0, ratio * scale, -camera.x * scale * ratio, -camera.y * scale * ratio);
  const seen = {
    left: camera.x, top: camera.y,
    right: camera.x + width / scale, bottom: camera.y + height / scale,
  };
  const isFar = scale < FAR;
  drawEdges(context, scene, seen, isFar, scale, colours);
  const shown = [];
  scene.nodes.forEach((node, index) => {
    const isOut =
      node.x > seen.right || node.y > seen.bottom || node.x + NODE_WIDTH < seen.left || node.y + node.h < seen.top;
    if (!isOut) shown.push(index);
  });
  (isFar ? drawFar : drawNear)(context, scene, shown, scale, colours);
}
