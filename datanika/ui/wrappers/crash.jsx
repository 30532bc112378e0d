import { useEffect } from "react";

const AGAIN_AFTER_MS = 60000;

// Loading the page anew helps where it met a moment between two states; once, not for ever.
function useOneReload() {
  useEffect(() => {
    const key = `datanika_crash:${window.location.pathname}`;
    const last = Number(window.sessionStorage.getItem(key) ?? 0);
    if (Date.now() - last < AGAIN_AFTER_MS) return;
    window.sessionStorage.setItem(key, String(Date.now()));
    window.location.reload();
  }, []);
}

// What stands in place of a page whose scripts failed. It needs nothing that may be broken: no
// state, no socket, and its texts of all languages are in it.
export function Crash({ texts: all, error }) {
  useOneReload();
  const texts = all[document.documentElement.lang] ?? all.en;
  return (
    <main className="crash">
      <div className="card" role="alert">
        <h1>{texts["crash.title"]}</h1>
        <p>{texts["crash.text"]}</p>
        <div className="row">
          <button type="button" className="button primary" onClick={() => window.location.reload()}>
            {texts["crash.reload"]}
          </button>
          <a className="button" href="/">{texts["missing.home"]}</a>
        </div>
        <details>
          <summary>{texts["crash.details"]}</summary>
          <pre dir="ltr" tabIndex={0}>{error}</pre>
        </details>
      </div>
    </main>
  );
}
