// A page is seen whole or not at all. While a tab connects or turns to another page, its state is
// first that of before, or empty, and then changes in pieces: drawn, it would be another thing than
// the address names, and what was typed into its forms would be lost with them.
import { createContext, useContext, useRef, useState } from "react";
import { useLocation } from "react-router";
import { StateStoreContext } from "$/utils/context-registry";

export const ARRIVED = "datanika:arrived";

// The store as it was when the page was last whole, until it is so again. `state` and `field`: where
// Reflex says that the events of the page have run.
function wholeOnly(store, state, field) {
  let before = null;
  let kept = null;
  const waiting = new Set();
  const look = () => {
    const now = store.getSnapshot(state);
    if (now?.[field]) {
      before = now;
      kept = null;
      const told = [...waiting];
      waiting.clear();
      told.forEach((listener) => listener());
      window.dispatchEvent(new Event(ARRIVED));
    } else if (before && !kept) {
      kept = new Map(Object.keys(store.dispatchers).map((name) => [name, store.getSnapshot(name)]));
      kept.set(state, before);
    }
  };
  store.subscribe(state, look);
  look();
  return {
    ...store,
    getSnapshot: (name) => (kept?.has(name) ? kept.get(name) : store.getSnapshot(name)),
    subscribe: (name, listener) => {
      const stop = store.subscribe(name, () => (kept ? waiting.add(listener) : listener()));
      return () => {
        waiting.delete(listener);
        stop();
      };
    },
  };
}

export function WholeStates({ state, field, children }) {
  const store = useContext(StateStoreContext);
  const [whole] = useState(() => wholeOnly(store, state, field));
  return <StateStoreContext.Provider value={whole}>{children}</StateStoreContext.Provider>;
}

const Arrived = createContext(true);
const path = (text) => text.replace(/\/+$/, "");

// `loadedPath`: the address whose events have run, the last of them having said so.
export function Arrival({ loadedPath, isHydrated, children }) {
  const pathname = path(useLocation().pathname);
  const there = useRef(null);
  if (isHydrated && path(loadedPath) === pathname) there.current = pathname;
  return <Arrived.Provider value={there.current === pathname}>{children}</Arrived.Provider>;
}

export function ArrivedPage({ label, children }) {
  if (useContext(Arrived)) return children;
  return (
    <div className="arriving" role="status" aria-label={label}>
      <div className="spinner" />
    </div>
  );
}
