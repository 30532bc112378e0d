// What the browser knows of a run: its steps and the end of its log, fed by the API's events.
import { ask } from "$/public/external/datanika/ui/wrappers/island/island.js";

export const ROW_LIMIT = 50000; // Lines that are kept; the download has all.
const SLACK = 5000;
const REST_AFTER = 30000;
const LEVELS = ["debug", "info", "warning", "error"];

// Rows of text: a line of the log is one or, with line breaks in it, several.
export class LogRows {
  rows = [];
  dropped = 0; // Rows that were here and are not any more.
  matches = null; // Numbers of the rows that the filter lets through; null: all.
  filter = { search: "", level: "debug", step: "", node: "" };

  add(line) {
    const parts = line.message.split("\n");
    for (let part = 0; part < parts.length; part += 1) {
      const row = { line, text: parts[part], isFirst: part === 0 };
      if (this.matches && this.#passes(row)) this.matches.push(this.dropped + this.rows.length);
      this.rows.push(row);
    }
    if (this.rows.length > ROW_LIMIT + SLACK) this.#drop(this.rows.length - ROW_LIMIT);
  }

  // How many rows there are to show, and the one at a position among them.
  get length() {
    return this.matches ? this.matches.length : this.rows.length;
  }

  at(position) {
    return this.rows[this.matches ? this.matches[position] - this.dropped : position];
  }

  setFilter(change) {
    this.filter = { ...this.filter, ...change };
    const { search, level, step, node } = this.filter;
    this.matches = search || level !== "debug" || step || node ? [] : null;
    if (!this.matches) return;
    this.rows.forEach((row, position) => {
      if (this.#passes(row)) this.matches.push(this.dropped + position);
    });
  }

  #passes({ line, text }) {
    const { search, level, step, node } = this.filter;
    return (
      (!step || line.step_key === step) &&
      (!node || line.node === node) &&
      LEVELS.indexOf(line.level) >= LEVELS.indexOf(level) &&
      (!search || text.toLowerCase().includes(search.toLowerCase()))
    );
  }

  #drop(count) {
    this.rows.splice(0, count);
    this.dropped += count;
    if (!this.matches) return;
    const first = this.matches.findIndex((number) => number >= this.dropped);
    this.matches.splice(0, first < 0 ? this.matches.length : first);
  }
}

// Calls its listeners at most once a frame, however much arrives.
export class RunStore {
  steps = new Map();
  log = new LogRows();
  run = null;
  isOffline = false;
  refused = null;
  version = 0;
  #listeners = new Set();
  #frame = 0;

  subscribe = (listener) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  snapshot = () => this.version;

  changed() {
    if (this.#frame) return;
    const tell = () => {
      this.#frame = 0;
      this.version += 1;
      this.#listeners.forEach((listener) => listener());
    };
    // A hidden tab has no frames.
    this.#frame = document.hidden ? setTimeout(tell, 1000) : requestAnimationFrame(tell);
  }
}

// Follow the run at `address` (…/runs/7) into `store`. After a broken connection it goes on where
// it was: no line is missing and none comes twice. Returns what ends it.
export function follow(address, after, store, onRun) {
  let last = String(after);
  let source;
  let timer;
  let wait = 500;
  let isOver = false;
  let rest;
  let isResting = false;
  const stop = () => {
    isOver = true;
    clearTimeout(timer);
    clearTimeout(rest);
    document.removeEventListener("visibilitychange", onVisibility);
    source?.close();
  };
  // A browser opens six connections to a server: tabs that nobody looks at give theirs back.
  const onVisibility = () => {
    clearTimeout(rest);
    if (document.hidden)
      rest = setTimeout(() => {
        isResting = true;
        clearTimeout(timer);
        source?.close();
      }, REST_AFTER);
    else if (isResting) {
      isResting = false;
      open();
    }
  };
  document.addEventListener("visibilitychange", onVisibility);
  const take = {
    log: (line) => store.log.add(line),
    step: (step) => store.steps.set(`${step.step_key}\n${step.node}`, step),
    run: (run) => {
      store.run = run;
      onRun(run);
    },
    end: (run) => {
      store.run = run;
      stop();
      onRun(run);
    },
  };
  const failed = async (event) => {
    if (event.data) {
      // The server's last word: the reader may not go on.
      store.refused = JSON.parse(event.data);
      store.changed();
      return stop();
    }
    source.close();
    if (isOver) return undefined;
    store.isOffline = true;
    store.changed();
    try {
      await ask(address);
    } catch (error) {
      if (error.status === 401 || error.status === 403 || error.status === 404) {
        store.refused = { detail: error.message };
        store.changed();
        return stop();
      }
    }
    if (isOver || isResting) return undefined;
    timer = setTimeout(open, wait);
    wait = Math.min(wait * 2, 15000);
    return undefined;
  };
  function open() {
    if (isOver || isResting) return;
    source = new EventSource(`${address}/events?after=${last}`, { withCredentials: true });
    source.onopen = () => {
      wait = 500;
      if (!store.isOffline) return;
      store.isOffline = false;
      store.changed();
    };
    Object.entries(take).forEach(([name, handle]) =>
      source.addEventListener(name, (event) => {
        if (isOver) return;
        last = event.lastEventId || last;
        handle(JSON.parse(event.data));
        store.changed();
      }),
    );
    source.onerror = failed;
  }
  open();
  return stop;
}

// The whole log as text, page by page. `onCount` hears how many lines there are so far.
export async function downloadLog(address, name, onCount) {
  const parts = [];
  let after = "0";
  let count = 0;
  for (;;) {
    const page = await ask(`${address}/logs?limit=5000&after=${after}`);
    if (!page.items.length) break;
    parts.push(
      page.items
        .map((line) => `${line.at} ${line.level.toUpperCase()} ${line.step_key} ${line.message}\n`)
        .join(""),
    );
    count += page.items.length;
    after = page.next_cursor;
    onCount(count);
    if (page.items.length < 5000) break;
  }
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob(parts, { type: "text/plain" }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}
