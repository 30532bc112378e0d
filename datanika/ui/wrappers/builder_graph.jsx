// The graph of a specification: what depends on what, where it is drawn, and what would be a circle.

export const WIDTH = 232;
export const HEIGHT = 92;
const GAP_X = 84;
const GAP_Y = 34;

const list = (value) => (Array.isArray(value) ? value : []);

// Steps as the graph needs them; a text may hold anything under these names.
export const stepsOf = (draft) => list(draft?.steps);
export const dependsOn = (step) => list(step.depends_on).filter((key) => typeof key === "string");
export const tablesOf = (step) =>
  list(step.tables).filter((table) => table && typeof table === "object" && typeof table.name === "string");
export const namesOf = (value) => list(value).filter((one) => typeof one === "string");

// The way from one step to another along "runs before", or null.
export function wayBetween(steps, from, to) {
  const after = {};
  for (const step of steps) for (const key of dependsOn(step)) (after[key] ??= []).push(step.key);
  const seen = new Map([[from, null]]);
  const queue = [from];
  while (queue.length) {
    const at = queue.shift();
    if (at === to) {
      const way = [];
      for (let one = at; one !== null; one = seen.get(one)) way.unshift(one);
      return way;
    }
    for (const next of after[at] ?? [])
      if (!seen.has(next)) {
        seen.set(next, at);
        queue.push(next);
      }
  }
  return null;
}

// The circle that "target runs after source" would close, as keys; null if it closes none.
export function circle(steps, source, target) {
  if (source === target) return [source, source];
  const way = wayBetween(steps, target, source);
  return way ? [...way, target] : null;
}

// Layers by the longest way from a step that needs none; positions in CSS pixels.
export function layout(steps) {
  const byKey = new Map(steps.map((step) => [step.key, step]));
  const depths = new Map();
  const depth = (key, path) => {
    if (depths.has(key)) return depths.get(key);
    const before = dependsOn(byKey.get(key)).filter((one) => byKey.has(one) && !path.has(one));
    const inside = new Set(path).add(key);
    const found = before.length ? 1 + Math.max(...before.map((one) => depth(one, inside))) : 0;
    depths.set(key, found);
    return found;
  };
  for (const step of steps) depth(step.key, new Set());
  const layers = [];
  for (const step of steps) (layers[depths.get(step.key)] ??= []).push(step.key);
  const rows = new Map();
  const places = {};
  const tallest = Math.max(1, ...layers.map((layer) => layer?.length ?? 0));
  layers.forEach((layer, x) => {
    const middle = (key) => {
      const before = dependsOn(byKey.get(key)).filter((one) => rows.has(one));
      return before.length ? before.reduce((sum, one) => sum + rows.get(one), 0) / before.length : 0;
    };
    const sorted = [...layer].sort((a, b) => middle(a) - middle(b));
    const top = ((tallest - sorted.length) * (HEIGHT + GAP_Y)) / 2;
    sorted.forEach((key, y) => {
      rows.set(key, top + y * (HEIGHT + GAP_Y));
      places[key] = { x: x * (WIDTH + GAP_X), y: top + y * (HEIGHT + GAP_Y) };
    });
  });
  return places;
}

export function freeKey(steps, wanted) {
  const taken = new Set(steps.map((step) => step.key));
  if (!taken.has(wanted)) return wanted;
  let number = 2;
  while (taken.has(`${wanted}_${number}`)) number += 1;
  return `${wanted}_${number}`;
}

// A name is a reference in other steps, too.
export function renamed(draft, from, to) {
  return {
    ...draft,
    steps: stepsOf(draft).map((step) => ({
      ...step,
      key: step.key === from ? to : step.key,
      ...(step.depends_on ? { depends_on: dependsOn(step).map((key) => (key === from ? to : key)) } : {}),
    })),
  };
}

export function without(draft, key) {
  return {
    ...draft,
    steps: stepsOf(draft)
      .filter((step) => step.key !== key)
      .map((step) =>
        step.depends_on ? { ...step, depends_on: dependsOn(step).filter((one) => one !== key) } : step,
      ),
  };
}

export const replaced = (draft, key, step) => ({
  ...draft,
  steps: stepsOf(draft).map((one) => (one.key === key ? step : one)),
});

export function connected(draft, source, target) {
  return replaced(draft, target, {
    ...stepsOf(draft).find((step) => step.key === target),
    depends_on: [...new Set([...dependsOn(stepsOf(draft).find((step) => step.key === target)), source])],
  });
}

export function disconnected(draft, source, target) {
  const step = stepsOf(draft).find((one) => one.key === target);
  return replaced(draft, target, { ...step, depends_on: dependsOn(step).filter((one) => one !== source) });
}
