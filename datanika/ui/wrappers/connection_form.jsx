// Making and changing a connection: a gallery of kinds, the kind's form, a test before it is saved.
// What is typed stays in this page until it is sent to the REST API; secrets never come back.
import { useEffect, useMemo, useRef, useState } from "react";
import { useSearchParams } from "react-router";
import { Fields, collect, initial } from "./connection_fields.jsx";
import { KindIcon, SHELVES, shelfOf } from "$/public/external/datanika/ui/wrappers/kinds/kinds.jsx";
import { call, job } from "$/public/external/datanika/ui/wrappers/island/rest.js";

let kinds = null;
const loadKinds = (base) => {
  kinds ??= call(base, "GET", "/connection-kinds").then((answer) => answer.data.items);
  kinds.catch(() => (kinds = null));
  return kinds;
};

function useKinds(base) {
  const [found, setFound] = useState({ items: null, problem: null });
  useEffect(() => {
    let here = true;
    loadKinds(base).then(
      (items) => here && setFound({ items, problem: null }),
      (problem) => here && setFound({ items: null, problem }),
    );
    return () => (here = false);
  }, [base]);
  return found;
}

const shelfTitle = (texts) => ({
  databases: texts["connection.shelf_databases"],
  warehouses: texts["connection.shelf_warehouses"],
  files: texts["connection.shelf_files"],
  apis: texts["connection.shelf_apis"],
  saas: texts["connection.shelf_saas"],
});

// By the code of a failed test: what went wrong, in the reader's language.
const causes = (texts) => ({
  authentication_failed: texts["connection.cause_login"],
  host_unreachable: texts["connection.cause_host"],
  connection_lost: texts["connection.cause_lost"],
  database_missing: texts["connection.cause_database"],
  permission_denied: texts["connection.cause_permission"],
  tls_failed: texts["connection.cause_tls"],
  egress_refused: texts["connection.cause_egress"],
  file_missing: texts["connection.cause_file"],
  connection_config_invalid: texts["connection.cause_config"],
  jobs_unavailable: texts["connection.cause_jobs"],
  job_lost: texts["connection.cause_jobs"],
  name_taken: texts["connection.cause_name"],
  stale_revision: texts["connection.cause_stale"],
  operator_only: texts["connection.cause_operator"],
  network: texts["connection.cause_network"],
});

export function Problem({ problem, texts, title }) {
  return (
    <div className="notice bad" role="alert">
      <strong>{causes(texts)[problem.code] ?? title ?? texts["connection.cause_other"]}</strong>
      {problem.message && <p dir="auto">{problem.message}</p>}
      {problem.hint && <p className="way-out" dir="auto">{problem.hint}</p>}
      <p className="muted"><code>{problem.code}</code></p>
    </div>
  );
}

function Waiting({ text, onStop, texts }) {
  const [seconds, setSeconds] = useState(0);
  useEffect(() => {
    const timer = setInterval(() => setSeconds((one) => one + 1), 1000);
    return () => clearInterval(timer);
  }, []);
  return (
    <div className="waiting" role="status">
      <span className="spinner" aria-hidden="true" />
      <span>{text}</span>
      <span className="muted number">{seconds} s</span>
      {onStop && <button type="button" className="text-button" onClick={onStop}>{texts["dialog.cancel"]}</button>}
      <span className="wait-bar" aria-hidden="true" />
    </div>
  );
}

// {state: idle | busy | ok | bad, problem}, and how to start and stop.
function useTest(base) {
  const [test, setTest] = useState({ state: "idle" });
  const running = useRef(null);
  const stop = () => {
    running.current?.abort();
    setTest({ state: "idle" });
  };
  const start = async (path, body) => {
    running.current?.abort();
    const mine = new AbortController();
    running.current = mine;
    setTest({ state: "busy" });
    try {
      const result = await job(base, path, body, { signal: mine.signal });
      if (mine.signal.aborted) return null;
      setTest(result.ok ? { state: "ok" } : { state: "bad", problem: result });
      return result.ok;
    } catch (problem) {
      if (!mine.signal.aborted) setTest({ state: "bad", problem });
      return null;
    }
  };
  useEffect(() => () => running.current?.abort(), []);
  return { test, start, stop };
}

function TestResult({ test, stop, texts }) {
  if (test.state === "busy") return <Waiting text={texts["connection.testing"]} onStop={stop} texts={texts} />;
  if (test.state === "ok")
    return (
      <div className="notice good" role="status">
        <strong>{texts["connection.test_ok"]}</strong>
        <p>{texts["connection.test_ok_text"]}</p>
      </div>
    );
  if (test.state === "bad")
    return <Problem problem={test.problem} texts={texts} title={texts["connection.test_failed"]} />;
  return null;
}

// What was saved last in this tab, and not tested since: its page tests it by itself.
let justSaved = null;

// The button on a connection's page: tries what is saved.
export function ConnectionTest({ base, texts, connectionId, onDone }) {
  const { test, start, stop } = useTest(base);
  const run = async () => {
    await start(`/connections/${connectionId}/test`);
    onDone?.();
  };
  useEffect(() => {
    if (justSaved !== connectionId) return;
    justSaved = null;
    run();
    // eslint-disable-next-line
  }, [connectionId]);
  return (
    <div className="stack">
      <div className="row">
        <button type="button" className="button primary" onClick={run} disabled={test.state === "busy"}>
          {texts["connection.test"]}
        </button>
      </div>
      <TestResult test={test} stop={stop} texts={texts} />
    </div>
  );
}

export function ConnectionNew({ base, texts, labels, onSaved }) {
  const { items, problem } = useKinds(base);
  const [query, setQuery] = useSearchParams();
  if (problem) return <Problem problem={problem} texts={texts} />;
  if (!items) return <div className="spinner" role="status" aria-label={texts["frame.loading"]} />;
  const chosen = items.find((one) => one.kind === query.get("kind"));
  if (!chosen)
    return <Gallery kinds={items} texts={texts} labels={labels} onChoose={(kind) => setQuery({ kind })} />;
  return (
    <ConnectionForm
      key={chosen.kind} base={base} texts={texts} labels={labels} kind={chosen} onSaved={onSaved}
      onBack={() => setQuery({})}
    />
  );
}

function Gallery({ kinds: all, texts, labels, onChoose }) {
  const [search, setSearch] = useState("");
  const [shelf, setShelf] = useState("");
  const [use, setUse] = useState("");
  const titles = shelfTitle(texts);
  const words = search.toLowerCase().split(/\s+/).filter(Boolean);
  const fits = (kind) =>
    (!shelf || shelfOf(kind.kind) === shelf) &&
    (use !== "source" || kind.is_source) &&
    (use !== "destination" || kind.is_destination) &&
    words.every((word) => `${kind.title} ${kind.kind} ${kind.description}`.toLowerCase().includes(word));
  const shown = all.filter(fits);
  return (
    <section className="card" aria-label={texts["connection.gallery"]}>
      <div className="toolbar">
        <input
          type="search" className="input grow" value={search} onChange={(e) => setSearch(e.target.value)}
          placeholder={texts["connection.search_kinds"]} aria-label={texts["connection.search_kinds"]}
        />
        <select className="select" value={use} onChange={(e) => setUse(e.target.value)} aria-label={texts["connection.use"]}>
          <option value="">{texts["connection.any_use"]}</option>
          <option value="source">{texts["connection.source"]}</option>
          <option value="destination">{texts["connection.destination"]}</option>
        </select>
      </div>
      <div className="shelf-tabs" role="group" aria-label={texts["connection.categories"]}>
        {["", ...SHELVES].map((name) => (
          <button type="button" key={name} aria-pressed={shelf === name} onClick={() => setShelf(name)}>
            {name ? titles[name] : texts["connection.all"]}
          </button>
        ))}
      </div>
      <div className="gallery">
        {SHELVES.filter((name) => shown.some((kind) => shelfOf(kind.kind) === name)).map((name) => (
          <div key={name} className="shelf">
            <h2>{titles[name]}</h2>
            <ul className="kind-cards">
              {shown.filter((kind) => shelfOf(kind.kind) === name).map((kind) => (
                <li key={kind.kind}>
                  <button type="button" className="kind-card" onClick={() => onChoose(kind.kind)}>
                    <KindIcon kind={kind.kind} large />
                    <span className="kind-text">
                      <strong>{kind.title}</strong>
                      <span className="muted" dir="auto">{texts[labels[kind.description]] ?? kind.description}</span>
                      <Roles kind={kind} texts={texts} />
                    </span>
                  </button>
                </li>
              ))}
            </ul>
          </div>
        ))}
        {shown.length === 0 && <p className="muted none">{texts["connection.no_kind"]}</p>}
      </div>
    </section>
  );
}

function Roles({ kind, texts }) {
  return (
    <span className="marks">
      {kind.is_source && <span className="mark source">{texts["connection.source"]}</span>}
      {kind.is_destination && <span className="mark destination">{texts["connection.destination"]}</span>}
      {!kind.verified_live && (
        <span className="mark unverified" title={texts["connection.unverified_text"]}>
          {texts["connection.unverified"]}
        </span>
      )}
    </span>
  );
}

// `saved`: the connection that is changed; `only`: fields of it, for another credential.
function ConnectionForm({ base, texts, labels, kind, saved, etag, only, onSaved, onBack, onReload }) {
  const schema = kind.config_schema;
  const kept = saved?.secrets ?? [];
  const [name, setName] = useState(saved?.name ?? "");
  const [description, setDescription] = useState(saved?.description ?? "");
  const [values, setValues] = useState(() => initial(schema, schema, saved?.config));
  const [wrong, setWrong] = useState({});
  const [problem, setProblem] = useState(null);
  const [isSaving, setSaving] = useState(false);
  const { test, start, stop } = useTest(base);
  const form = useRef(null);
  const pick = kept.filter((one) => !only?.includes(one));

  const read = () => {
    const { config, wrong: found } = collect(schema, schema, values, pick);
    if (!only && !name.trim()) found.$name = "required";
    setWrong(found);
    setProblem(null);
    if (Object.keys(found).length === 0) return config;
    setTimeout(() => form.current?.querySelector("[aria-invalid=true]")?.focus(), 0);
    return null;
  };
  const refuse = (given) => {
    const field = given.field?.replace(/^(body\.)?config\./, "") ?? "";
    if (given.field === "name" || given.field === "body.name") setWrong({ $name: given.message });
    else if (field && given.field !== field) setWrong({ [field]: given.message });
    setProblem(given);
  };
  const tryIt = () => {
    const config = read();
    if (!config) return;
    if (saved) start(`/connections/${saved.id}/test`, { config });
    else start("/connections/test", { kind: kind.kind, config });
  };
  const save = async (event) => {
    event.preventDefault();
    const config = read();
    if (!config) return;
    setSaving(true);
    try {
      const body = only ? { config } : { name: name.trim(), description, config };
      const answer = saved
        ? await call(base, "PATCH", `/connections/${saved.id}`, { body, headers: { "If-Match": etag } })
        : await call(base, "POST", "/connections", { body: { ...body, kind: kind.kind } });
      justSaved = answer.data.id;
      onSaved(answer.data.id);
    } catch (given) {
      refuse(given);
      setSaving(false);
    }
  };
  const isStale = problem?.status === 412 || problem?.code === "stale_revision";
  return (
    <form className="card connection-form" ref={form} onSubmit={save} noValidate autoComplete="off">
      <div className="card-head">
        <KindIcon kind={kind.kind} large />
        <div>
          <h2>{only ? texts["connection.rotate"] : kind.title}</h2>
          <p className="muted" dir="auto">{only ? texts["connection.rotate_text"] : (texts[labels[kind.description]] ?? kind.description)}</p>
        </div>
        <Roles kind={kind} texts={texts} />
      </div>
      {!kind.verified_live && !saved && <p className="strip">{texts["connection.unverified_text"]}</p>}
      <div className="form">
        {!only && (
          <div className="form-grid">
            <div className="field">
              <label htmlFor="connection-name">
                {texts["column.name"]}<span className="needed" aria-hidden="true"> *</span>
              </label>
              <input
                id="connection-name" value={name} onChange={(e) => setName(e.target.value)} maxLength={200}
                aria-invalid={wrong.$name ? true : undefined} aria-required="true" autoComplete="off" dir="auto"
                aria-describedby={wrong.$name ? "connection-name-wrong" : undefined}
              />
              {wrong.$name && (
                <span className="wrong" role="alert" id="connection-name-wrong">
                  {wrong.$name === "required" ? texts["connection.field_required"] : wrong.$name}
                </span>
              )}
            </div>
            <div className="field">
              <label htmlFor="connection-description">{texts["connection.description"]}</label>
              <input
                id="connection-description" value={description} dir="auto"
                onChange={(e) => setDescription(e.target.value)}
              />
            </div>
          </div>
        )}
        <div className="form-grid">
          <Fields
            schema={schema} root={schema} values={values} onChange={setValues} wrong={wrong} kept={only ? [] : kept}
            labels={labels} texts={texts} only={only}
          />
        </div>
        <TestResult test={test} stop={stop} texts={texts} />
        {problem && <Problem problem={problem} texts={texts} title={texts["connection.not_saved"]} />}
        {isStale && (
          <div className="row">
            <button type="button" className="button" onClick={onReload}>{texts["connection.reload"]}</button>
          </div>
        )}
        <div className="form-actions">
          {onBack && <button type="button" className="button" onClick={onBack}>{texts["connection.other_kind"]}</button>}
          <button type="button" className="button" onClick={tryIt} disabled={test.state === "busy"}>
            {texts["connection.test"]}
          </button>
          <button type="submit" className="button primary" disabled={isSaving}>
            {only ? texts["connection.rotate_save"] : texts["connection.save"]}
          </button>
        </div>
        {kind.docs && !only && (
          <details className="kind-docs">
            <summary>{texts["connection.docs"]}</summary>
            <p dir="ltr">{kind.docs.replaceAll("`", "")}</p>
          </details>
        )}
      </div>
    </form>
  );
}

// Changes a saved connection, or with `rotate` only its secrets.
export function ConnectionEdit({ base, texts, labels, connectionId, rotate, onSaved }) {
  const { items, problem } = useKinds(base);
  const [loaded, setLoaded] = useState(null);
  const [round, setRound] = useState(0);
  useEffect(() => {
    let here = true;
    setLoaded(null);
    call(base, "GET", `/connections/${connectionId}`).then(
      (answer) => here && setLoaded({ saved: answer.data, etag: answer.etag }),
      (given) => here && setLoaded({ problem: given }),
    );
    return () => (here = false);
  }, [base, connectionId, round]);
  const kind = useMemo(() => items?.find((one) => one.kind === loaded?.saved?.kind), [items, loaded]);
  const failed = problem ?? loaded?.problem;
  if (failed) return <Problem problem={failed} texts={texts} />;
  if (!kind) return <div className="spinner" role="status" aria-label={texts["frame.loading"]} />;
  const secrets = Object.entries(kind.config_schema.properties)
    .filter(([name, field]) => field.writeOnly && (loaded.saved.secrets.includes(name) || kind.config_schema.required?.includes(name)))
    .map(([name]) => name);
  if (rotate && secrets.length === 0)
    return <p className="notice">{texts["connection.no_secret"]}</p>;
  return (
    <ConnectionForm
      key={round} base={base} texts={texts} labels={labels} kind={kind} saved={loaded.saved} etag={loaded.etag}
      only={rotate ? secrets : undefined} onSaved={onSaved} onReload={() => setRound(round + 1)}
    />
  );
}
