// What stands in place of a page whose scripts failed. It needs nothing that may be broken: no
// state, no socket, and its texts of all languages are in it.
export function Crash({ texts: all, error }) {
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
