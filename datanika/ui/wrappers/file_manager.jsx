// Uploaded files: drop some, see how far they are, look into them, take them away.
import { useCallback, useEffect, useRef, useState } from "react";
import { Problem } from "$/public/external/datanika/ui/wrappers/connection_form/connection_form.jsx";
import { ResultGrid } from "$/public/external/datanika/ui/wrappers/connection_browser/result_grid.jsx";
import { call, job, upload } from "$/public/external/datanika/ui/wrappers/island/rest.js";

const PAUSE_MS = 300;
const KINDS = ".csv,.tsv,.txt,.jsonl,.ndjson,.json,.parquet,.xlsx,.sqlite,.sqlite3,.db,.gz,.zip";

// A name that the platform takes: letters, digits, dots, dashes and underscores.
const safe = (name) => name.normalize("NFKD").replace(/[^A-Za-z0-9._-]+/g, "_").replace(/^[._-]+/, "").replace(/\.{2,}/g, ".").slice(-150);

const size = (bytes, locale) => {
  const units = ["byte", "kilobyte", "megabyte", "gigabyte"];
  const step = bytes > 0 ? Math.min(3, Math.floor(Math.log10(bytes) / 3)) : 0;
  return new Intl.NumberFormat(locale, {
    style: "unit", unit: units[step], unitDisplay: "short", maximumFractionDigits: 1,
  }).format(bytes / 1000 ** step);
};

export function FileManager({ base, texts, locale, mayWrite, mayPreview, mayDelete, onDone }) {
  const [list, setList] = useState({ items: null, next: null, problem: null });
  const [search, setSearch] = useState("");
  const [shown, show] = useState(null);
  const [asked, ask] = useState(null);
  const timer = useRef(null);
  const load = useCallback(
    async (text, cursor) => {
      const query = new URLSearchParams({ limit: 50, sort: "-created_at" });
      if (text) query.set("search", text);
      if (cursor) query.set("cursor", cursor);
      try {
        const { data } = await call(base, "GET", `/files?${query}`);
        setList((old) => ({
          items: cursor ? [...old.items, ...data.items] : data.items, next: data.next_cursor, problem: null,
        }));
      } catch (problem) {
        setList({ items: [], next: null, problem });
      }
    },
    [base],
  );
  useEffect(() => {
    load("");
    return () => clearTimeout(timer.current);
  }, [load]);
  const remove = async (file) => {
    ask(null);
    try {
      await call(base, "DELETE", `/files/${file.id}`);
      if (shown?.id === file.id) show(null);
      onDone?.("deleted");
      load(search);
    } catch (problem) {
      setList((old) => ({ ...old, problem }));
    }
  };
  return (
    <div className="stack">
      {mayWrite && (
        <Uploads base={base} texts={texts} locale={locale} onUploaded={() => { onDone?.("uploaded"); load(search); }} />
      )}
      <section className="card" aria-label={texts["files.title"]}>
        <div className="toolbar">
          <input
            type="search" className="input grow" value={search} placeholder={texts["files.search"]}
            aria-label={texts["files.search"]}
            onChange={(e) => {
              const text = e.target.value;
              setSearch(text);
              clearTimeout(timer.current);
              timer.current = setTimeout(() => load(text), PAUSE_MS);
            }}
          />
        </div>
        {list.problem && <Problem problem={list.problem} texts={texts} />}
        {list.items === null && <div className="spinner" role="status" aria-label={texts["frame.loading"]} />}
        {list.items?.length === 0 && !list.problem && <p className="muted none">{texts["files.none"]}</p>}
        {list.items?.length > 0 && (
          <div className="table-wrap" tabIndex={0} role="region" aria-label={texts["files.title"]}>
            <table>
              <caption className="visually-hidden">{texts["files.title"]}</caption>
              <thead>
                <tr>
                  <th scope="col">{texts["column.name"]}</th>
                  <th scope="col">{texts["files.format"]}</th>
                  <th scope="col" className="end">{texts["files.size"]}</th>
                  <th scope="col">{texts["files.uploaded_at"]}</th>
                  <th scope="col"><span className="visually-hidden">{texts["column.action"]}</span></th>
                </tr>
              </thead>
              <tbody>
                {list.items.map((file) => (
                  <tr key={file.id}>
                    <td dir="auto"><strong>{file.name}</strong></td>
                    <td><span className="chip">{file.format}</span></td>
                    <td className="end number">{size(file.bytes, locale)}</td>
                    <td>{new Date(file.created_at).toLocaleString(locale, { dateStyle: "medium", timeStyle: "short" })}</td>
                    <td className="end">
                      <span className="row end">
                        {mayPreview && file.format !== "sqlite" && (
                          <button type="button" className="button" onClick={() => show(file)} aria-label={`${texts["connection.preview"]}: ${file.name}`}>
                            {texts["connection.preview"]}
                          </button>
                        )}
                        {mayDelete && asked !== file.id && (
                          <button type="button" className="button danger" onClick={() => ask(file.id)} aria-label={`${texts["connection.delete"]}: ${file.name}`}>
                            {texts["connection.delete"]}
                          </button>
                        )}
                        {asked === file.id && (
                          <span className="row" role="alert">
                            {texts["files.delete_sure"]}
                            <button type="button" className="button" onClick={() => ask(null)}>{texts["dialog.cancel"]}</button>
                            <button type="button" className="button danger" autoFocus onClick={() => remove(file)}>{texts["connection.delete"]}</button>
                          </span>
                        )}
                      </span>
                    </td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        )}
        {list.next && (
          <div className="pager">
            <button type="button" className="button" onClick={() => load(search, list.next)}>{texts["connection.load_more"]}</button>
          </div>
        )}
      </section>
      {shown && <FilePreview key={shown.id} base={base} texts={texts} locale={locale} file={shown} onClose={() => show(null)} />}
    </div>
  );
}

function Uploads({ base, texts, locale, onUploaded }) {
  const [queue, setQueue] = useState([]);
  const [isOver, over] = useState(false);
  const input = useRef(null);
  const number = useRef(0);
  const put = (id, news) => setQueue((old) => old.map((one) => (one.id === id ? { ...one, ...news } : one)));
  const send = async (entry, replace) => {
    const query = new URLSearchParams({ name: entry.name, ...(replace ? { replace: "true" } : {}) });
    const running = upload(base, `/files?${query}`, entry.file, (done) => put(entry.id, { done }));
    put(entry.id, { state: "busy", done: 0, problem: null, stop: running.stop });
    try {
      await running.done;
      put(entry.id, { state: "ok", done: 1 });
      onUploaded();
    } catch (problem) {
      put(entry.id, { state: problem.code === "aborted" ? "stopped" : "bad", problem });
    }
  };
  const take = (files) => {
    for (const file of files) {
      const entry = { id: ++number.current, file, name: safe(file.name), state: "busy", done: 0 };
      setQueue((old) => [...old, entry]);
      send(entry, false);
    }
  };
  return (
    <section className="card" aria-label={texts["files.upload"]}>
      <div
        className={isOver ? "drop is-over" : "drop"}
        onDragOver={(e) => { e.preventDefault(); over(true); }}
        onDragLeave={() => over(false)}
        onDrop={(e) => { e.preventDefault(); over(false); take(e.dataTransfer.files); }}
      >
        <p><strong>{texts["files.drop"]}</strong></p>
        <p className="muted">{texts["files.kinds"]}</p>
        <button type="button" className="button primary" onClick={() => input.current.click()}>{texts["files.choose"]}</button>
        <input
          ref={input} type="file" multiple hidden accept={KINDS} aria-label={texts["files.choose"]}
          onChange={(e) => { take([...e.target.files]); e.target.value = ""; }}
        />
      </div>
      {queue.length > 0 && (
        <ul className="uploads">
          {queue.map((entry) => (
            <li key={entry.id}>
              <span className="upload-name" dir="auto">{entry.name}</span>
              <span className="muted number">{size(entry.file.size, locale)}</span>
              <progress value={entry.done} max={1} aria-label={entry.name} className={entry.state === "bad" ? "bad" : undefined} />
              {entry.state === "busy" && <button type="button" className="text-button" onClick={() => entry.stop?.()}>{texts["dialog.cancel"]}</button>}
              {entry.state === "ok" && <span className="done">{texts["files.done"]}</span>}
              {entry.state === "bad" && entry.problem.code === "file_exists" && (
                <button type="button" className="button" onClick={() => send(entry, true)}>{texts["files.replace"]}</button>
              )}
              {entry.state === "bad" && <Problem problem={entry.problem} texts={texts} title={texts["files.not_uploaded"]} />}
            </li>
          ))}
        </ul>
      )}
    </section>
  );
}

function FilePreview({ base, texts, locale, file, onClose }) {
  const [state, set] = useState({ busy: true });
  const [delimiter, setDelimiter] = useState(",");
  useEffect(() => {
    const mine = new AbortController();
    set({ busy: true });
    job(base, `/files/${file.id}/preview`, { delimiter, limit: 50 }, { signal: mine.signal }).then(
      (result) => set({ busy: false, result }),
      (problem) => mine.signal.aborted || set({ busy: false, problem }),
    );
    return () => mine.abort();
  }, [base, file.id, delimiter]);
  return (
    <section className="card" aria-label={file.name}>
      <div className="card-head">
        <h2 dir="auto">{file.name}</h2>
        <span className="row push">
          {file.format === "csv" && (
            <label className="row">
              {texts["files.delimiter"]}
              <select className="select" value={delimiter} onChange={(e) => setDelimiter(e.target.value)}>
                <option value=",">,</option><option value=";">;</option><option value={"\t"}>Tab</option><option value="|">|</option>
              </select>
            </label>
          )}
          <button type="button" className="icon-button" aria-label={texts["dialog.close"]} onClick={onClose}>✕</button>
        </span>
      </div>
      {state.busy && <div className="waiting" role="status"><span className="spinner" aria-hidden="true" />{texts["connection.reading"]}<span className="wait-bar" aria-hidden="true" /></div>}
      {state.problem && <Problem problem={state.problem} texts={texts} />}
      {state.result && <ResultGrid result={state.result} label={file.name} texts={texts} locale={locale} />}
    </section>
  );
}
