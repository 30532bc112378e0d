// A dbt project in and out: a zip goes to the REST API, first to be looked at, then to be taken.
import { useEffect, useId, useRef, useState } from "react";
import { readable, upload } from "$/public/external/datanika/ui/wrappers/island/rest.js";

const LISTED = 200;

export function ProjectImport({ api, destinations, texts, onDone }) {
  const id = useId();
  const file = useRef(null);
  const [destination, setDestination] = useState(destinations[0]?.id ?? "");
  const [replace, setReplace] = useState(false);
  const [report, setReport] = useState(null);
  const [busy, setBusy] = useState(false);
  const [failed, setFailed] = useState("");

  const send = async (isDry, acceptRefused = false) => {
    const chosen = file.current.files[0];
    if (!chosen) return;
    setBusy(true);
    setFailed("");
    const query = new URLSearchParams({
      destination_id: destination, dry_run: isDry, replace, accept_refused: acceptRefused,
    });
    try {
      const found = await upload(api, `/projects/import?${query}`, chosen, () => {}).done;
      setReport(found);
      if (found.applied) onDone?.();
    } catch (error) {
      setFailed(readable(error));
    } finally {
      setBusy(false);
    }
  };
  const forget = () => { setReport(null); setFailed(""); };
  const refused = report?.findings.filter((one) => one.level === "refused") ?? [];
  const changed = report?.findings.filter((one) => one.level === "changed") ?? [];
  return (
    <>
      <div className="dialog-body">
        <p className="muted">{texts["project.import_text"]}</p>
        <div className="field">
          <label htmlFor={`${id}file`}>{texts["project.file"]}</label>
          <input id={`${id}file`} ref={file} type="file" accept=".zip,application/zip" onChange={forget} />
        </div>
        <div className="field">
          <label htmlFor={`${id}to`}>{texts["project.destination"]}</label>
          <select id={`${id}to`} value={destination} onChange={(event) => { setDestination(event.target.value); forget(); }}>
            {destinations.map((one) => <option key={one.id} value={one.id}>{one.name}</option>)}
          </select>
        </div>
        <label className="check">
          <input type="checkbox" checked={replace} onChange={(event) => { setReplace(event.target.checked); forget(); }} />
          <span>{texts["project.replace"]}</span>
        </label>
        {failed && <p className="notice bad" role="alert">{failed}</p>}
        {report && (
          <div className="stack" role="status">
            <p>
              <strong>{report.applied ? texts["project.imported"] : texts["project.would_import"]}</strong>{" "}
              {report.items.length} · {texts["project.refused"]} {refused.length} · {texts["project.changed"]} {changed.length}
            </p>
            {[...refused, ...changed].slice(0, LISTED).map((one, index) => (
              <div key={index} className={one.level === "refused" ? "finding is-refused" : "finding"}>
                <span className="mono" dir="ltr">{one.path}{one.line ? `:${one.line}` : ""}</span>
                <span>{one.message}</span>
              </div>
            ))}
            {report.items.length > 0 && (
              <details>
                <summary>{texts["project.items"]}</summary>
                <ul className="finding-items">
                  {report.items.slice(0, LISTED).map((one) => (
                    <li key={one.name} dir="ltr">{one.name} <span className="muted">{one.kind} · {one.action}</span></li>
                  ))}
                </ul>
              </details>
            )}
          </div>
        )}
      </div>
      <div className="dialog-foot">
        <button type="button" className="button" disabled={busy} onClick={() => send(true)}>{texts["project.check"]}</button>
        {report && !report.applied && report.items.length > 0 && (
          <button type="button" className="button primary" disabled={busy} onClick={() => send(false, refused.length > 0)}>
            {refused.length ? texts["project.import_rest"] : texts["project.import"]}
          </button>
        )}
      </div>
    </>
  );
}

// Ctrl+S anywhere on the page sends the form.
export function SaveKeys({ form }) {
  useEffect(() => {
    const save = (event) => {
      if (!(event.ctrlKey || event.metaKey) || event.key.toLowerCase() !== "s") return;
      event.preventDefault();
      document.getElementById(form)?.requestSubmit();
    };
    document.addEventListener("keydown", save);
    return () => document.removeEventListener("keydown", save);
  }, [form]);
  return null;
}
