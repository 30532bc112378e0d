// Where the tables of a lineage graph stand: layers from left to right, few crossings, no overlap.
// O((n + e) log n); it yields between its sweeps so that the page stays alive.
export const NODE_WIDTH = 220;
export const HEAD = 34;
export const LINE = 22;
const GAP_X = 110;
const GAP_Y = 16;
const SWEEPS = 6;

export const heightOf = (node) => HEAD + (node.shown?.length ? node.shown.length * LINE + 8 : 0);

// Longest way from the left. What is in a circle, which only a mistake can make, stands at its end.
function layersOf(nodes) {
  const waiting = nodes.map((node) => node.ins.length);
  const layer = new Int32Array(nodes.length);
  const queue = [];
  nodes.forEach((node, index) => waiting[index] === 0 && queue.push(index));
  const done = new Uint8Array(nodes.length);
  for (let at = 0; at < queue.length; at++) {
    const index = queue[at];
    done[index] = 1;
    for (const next of nodes[index].outs) {
      layer[next] = Math.max(layer[next], layer[index] + 1);
      if (--waiting[next] === 0) queue.push(next);
    }
  }
  // Beside what reads it, not at the far left: shorter edges.
  for (let at = queue.length - 1; at >= 0; at--) {
    const index = queue[at];
    if (!nodes[index].outs.length || nodes[index].ins.length) continue;
    layer[index] = Math.max(0, Math.min(...nodes[index].outs.map((next) => layer[next])) - 1);
  }
  return layer;
}

const pause = () => new Promise((resolve) => setTimeout(resolve));

// Sets x, y, h of every node; nodes have `ins` and `outs`, places in `nodes`.
export async function layOut(nodes, isCurrent = () => true) {
  const layer = layersOf(nodes);
  const found = [];
  const lonely = [];
  nodes.forEach((node, index) => {
    if (node.ins.length || node.outs.length) (found[layer[index]] ??= []).push(index);
    else lonely.push(index);
  });
  const layers = found.filter(Boolean);
  const place = new Float64Array(nodes.length);
  for (const members of layers) {
    members.sort((a, b) => (nodes[a].key < nodes[b].key ? -1 : 1));
    members.forEach((index, at) => (place[index] = at / members.length));
  }
  for (let sweep = 0; sweep < SWEEPS; sweep++) {
    const forward = sweep % 2 === 0;
    const order = forward ? layers : [...layers].reverse();
    for (const members of order) {
      const wish = new Map();
      for (const index of members) {
        const near = forward ? nodes[index].ins : nodes[index].outs;
        let sum = 0;
        for (const other of near) sum += place[other];
        wish.set(index, near.length ? sum / near.length : place[index]);
      }
      members.sort((a, b) => wish.get(a) - wish.get(b) || place[a] - place[b]);
      members.forEach((index, at) => (place[index] = (at + 0.5) / members.length));
    }
    if (nodes.length > 500) {
      await pause();
      if (!isCurrent()) return null;
    }
  }
  stack(nodes, layers, lonely);
  return { layers, lonely };
}

// How many tables stand in a column, so that the whole is about twice as wide as high.
const rowsFor = (count) => Math.max(30, Math.ceil(Math.sqrt((count * (NODE_WIDTH + GAP_X)) / (HEAD + GAP_Y) / 2)));

// A layer that is too high for one column: row by row, so that everything stays at its height.
function spread(nodes, members, x, rows) {
  const columns = Math.ceil(members.length / rows);
  let y = 0;
  for (let row = 0; row * columns < members.length; row++) {
    let height = 0;
    members.slice(row * columns, (row + 1) * columns).forEach((index, at) => {
      const node = nodes[index];
      node.h = heightOf(node);
      node.x = x + at * (NODE_WIDTH + GAP_X / 3);
      node.y = y;
      height = Math.max(height, node.h);
    });
    y += height + GAP_Y;
  }
  return { right: x + columns * (NODE_WIDTH + GAP_X / 3) - GAP_X / 3, bottom: y };
}

// Heights may have changed: the order stays.
export function stack(nodes, layers, lonely) {
  let x = 0;
  let bottom = layers.length ? 0 : -60;
  for (const node of nodes) node.x = Infinity;
  const rows = rowsFor(nodes.length - lonely.length);
  const isHigh = layers.some((members) => members.length > rows);
  layers.forEach((members, at) => {
    if (isHigh) {
      const place = spread(nodes, members, x, rows);
      bottom = Math.max(bottom, place.bottom);
      x = place.right + GAP_X * 1.6;
      return;
    }
    let y = -Infinity;
    let [wished, given] = [0, 0];
    for (const index of members) {
      const node = nodes[index];
      node.h = heightOf(node);
      node.x = x;
      let [sum, count] = [0, 0];
      for (const other of node.ins) {
        // Of a circle, some have no place yet.
        if (nodes[other].x >= x) continue;
        sum += nodes[other].y + nodes[other].h / 2;
        count++;
      }
      const wish = count ? sum / count - node.h / 2 : Math.max(y, 0);
      node.y = Math.max(y, wish);
      wished += wish;
      given += node.y;
      y = node.y + node.h + GAP_Y;
    }
    // What had to make room moved down: the layer as a whole moves back up.
    const shift = at ? (wished - given) / members.length : 0;
    for (const index of members) nodes[index].y += shift;
    bottom = Math.max(bottom, y + shift);
    x += NODE_WIDTH + GAP_X;
  });
  const perRow = Math.max(1, Math.round(Math.sqrt(lonely.length * 2)));
  lonely.forEach((index, at) => {
    const node = nodes[index];
    node.h = heightOf(node);
    node.x = (at % perRow) * (NODE_WIDTH + 24);
    node.y = bottom + 60 + Math.floor(at / perRow) * (HEAD + GAP_Y);
  });
}

export function bounds(nodes) {
  let [left, top, right, bottom] = [Infinity, Infinity, -Infinity, -Infinity];
  for (const node of nodes) {
    left = Math.min(left, node.x);
    top = Math.min(top, node.y);
    right = Math.max(right, node.x + NODE_WIDTH);
    bottom = Math.max(bottom, node.y + node.h);
  }
  return nodes.length ? { left, top, right, bottom } : { left: 0, top: 0, right: 1, bottom: 1 };
}
