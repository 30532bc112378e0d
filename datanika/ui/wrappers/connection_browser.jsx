// What a connection holds: schemas, tables, columns and their first rows; and a box for queries
// that read. Everything is asked for when somebody looks at it, and kept in this page only.
import { useEffect, useRef, useState } from "react";
import { CodeEditor } from "$/public/external/datanika/ui/wrappers/code_editor/code_editor.jsx";
import { Problem } from "$/public/external/datanika/ui/wrappers/connection_form/connection_form.jsx";
import { ResultGrid } from "./result_grid.jsx";
import { job } from "$/public/external/datanika/ui/wrappers/island/rest.js";

const PAGE = 100;
const PAUSE_MS = 400;
const nameOf = (table) => (table.schema_name ? `${table.schema_name}.${table.name}` : table.name);

function useJob(base) {
  const [state, set] = useState({ busy: false, result: null, problem: null });
  const running = useRef(null);
  useEffect(() => () => running.current?.abort(), []);
  const run = async (path, body) => {
    running.current?.abort();
    const mine = new AbortController();
    running.current = mine;
    set((old) => ({ ...old, busy: true, problem: null }));
    try {
      const result = await job(base, path, body, { signal: mine.signal });
      if (!mine.signal.aborted) set({ busy: false, result, problem: null });
      return result;
    } catch (problem) {
      if (!mine.signal.aborted) set({ busy: false, result: null, problem });
      return null;
    }
  };
  return { ...state, run };
}

const Busy = ({ text }) => (
  <div className="waiting" role="status">
    <span className="spinner" aria-hidden="true" /><span>{text}</span>
    <span className="wait-bar" aria-hidden="true" />
  </div>
);

export function ConnectionBrowser({ base, texts, locale, connectionId, mayPreview }) {
  const found = useJob(base);
  const [tables, setTables] = useState([]);
  const [schemas, setSchemas] = useState([]);
  const [next, setNext] = useState(null);
  const [schema, setSchema] = useState("");
  const [search, setSearch] = useState("");
  const [chosen, choose] = useState(null);
  const timer = useRef(null);
  useEffect(() => () => clearTimeout(timer.current), []);

  const look = async (schemaName, text, offset = 0) => {
    const body = { limit: PAGE, offset, schema_name: schemaName || null, search: text || null };
    const result = await found.run(`/connections/${connectionId}/introspect`, body);
    if (!result) return;
    if (result.schemas.length > schemas.length) setSchemas(result.schemas);
    setTables((old) => (offset ? [...old, ...result.tables] : result.tables));
    setNext(result.next_offset);
  };
  useEffect(() => {
    look("", "");
    // eslint-disable-next-line
  }, [connectionId]);

  const groups = [];
  for (const table of tables) {
    const last = groups.at(-1);
    if (last && last.name === table.schema_name) last.tables.push(table);
    else groups.push({ name: table.schema_name, tables: [table] });
  }
  return (
    <div className="browser">
      <section className="card browser-list" aria-label={texts["connection.tables"]}>
        <div className="toolbar">
          <input
            type="search" className="input grow" value={search} aria-label={texts["connection.search_tables"]}
            placeholder={texts["connection.search_tables"]}
            onChange={(e) => {
              const text = e.target.value;
              setSearch(text);
              clearTimeout(timer.current);
              timer.current = setTimeout(() => look(schema, text), PAUSE_MS);
            }}
          />
          {schemas.length > 1 && (
            <select
              className="select" value={schema} aria-label={texts["connection.schema"]}
              onChange={(e) => {
                setSchema(e.target.value);
                look(e.target.value, search);
              }}
            >
              <option value="">{texts["connection.all_schemas"]}</option>
              {schemas.map((name) => <option key={name} value={name}>{name}</option>)}
            </select>
          )}
        </div>
        {found.busy && <Busy text={texts["connection.looking"]} />}
        {found.problem && <Problem problem={found.problem} texts={texts} />}
        {!found.busy && !found.problem && tables.length === 0 && (
          <p className="muted none">{texts["connection.no_tables"]}</p>
        )}
        <div className="tree">
          {groups.map((group) => (
            <details key={group.name ?? ""} open>
              <summary>
                <span dir="auto">{group.name ?? texts["connection.tables"]}</span>
                <span className="count">{group.tables.length}</span>
              </summary>
              <ul>
                {group.tables.map((table) => (
                  <li key={nameOf(table)}>
                    <button
                      type="button" aria-pressed={chosen !== null && nameOf(chosen) === nameOf(table)}
                      onClick={() => choose(table)}
                    >
                      <span className="tree-name" dir="auto">{table.name}</span>
                      <span className="tree-facts">
                        {table.kind !== "table" && <span>{table.kind}</span>}
                        {table.row_estimate != null && (
                          <span className="number">
                            ≈ {new Intl.NumberFormat(locale, { notation: "compact" }).format(table.row_estimate)}
                          </span>
                        )}
                      </span>
                    </button>
                  </li>
                ))}
              </ul>
            </details>
          ))}
        </div>
        {next != null && (
          <div className="pager">
            <button type="button" className="button" disabled={found.busy} onClick={() => look(schema, search, next)}>
              {texts["connection.load_more"]}
            </button>
          </div>
        )}
      </section>
      {chosen ? (
        <TableView
          key={nameOf(chosen)} base={base} texts={texts} locale={locale} connectionId={connectionId}
          table={chosen} mayPreview={mayPreview}
        />
      ) : (
        <section className="card browser-hint"><p className="muted">{texts["connection.choose_table"]}</p></section>
      )}
    </div>
  );
}

function TableView({ base, texts, locale, connectionId, table, mayPreview }) {
  const preview = useJob(base);
  const read = () => {
    const body = { table: table.name, schema_name: table.schema_name, limit: 50 };
    return preview.run(`/connections/${connectionId}/preview`, body);
  };
  useEffect(() => {
    if (mayPreview) read();
    // eslint-disable-next-line
  }, []);
  return (
    <div className="stack browser-table">
      <section className="card">
        <div className="card-head">
          <h2 dir="auto">{nameOf(table)}</h2>
          <span className="muted">
            {table.kind} · {table.columns.length} {texts["connection.columns_unit"]}
            {table.row_estimate != null && (
              <> · ≈ {new Intl.NumberFormat(locale).format(table.row_estimate)} {texts["run.rows_unit"]}</>
            )}
          </span>
        </div>
        {table.problem && <p className="strip" dir="auto">{table.problem}</p>}
        <div className="result-wrap short" tabIndex={0} role="region" aria-label={texts["connection.columns"]}>
          <table>
            <caption className="visually-hidden">{texts["connection.columns"]}</caption>
            <thead>
              <tr>
                <th scope="col">{texts["connection.column"]}</th>
                <th scope="col">{texts["connection.type"]}</th>
                <th scope="col">{texts["connection.nullable"]}</th>
              </tr>
            </thead>
            <tbody>
              {table.columns.map((column) => (
                <tr key={column.name}>
                  <td dir="auto">
                    {column.name}
                    {table.primary_key.includes(column.name) && (
                      <span className="mark key">{texts["connection.key"]}</span>
                    )}
                  </td>
                  <td className="mono">{column.data_type}</td>
                  <td>{column.nullable ? "NULL" : "NOT NULL"}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      </section>
      {mayPreview && (
        <section className="card">
          <div className="card-head">
            <h2>{texts["connection.preview"]}</h2>
            <button type="button" className="text-button push" disabled={preview.busy} onClick={read}>
              {texts["connection.refresh"]}
            </button>
          </div>
          {preview.busy && <Busy text={texts["connection.reading"]} />}
          {preview.problem && <Problem problem={preview.problem} texts={texts} />}
          {preview.result && !preview.busy && (
            <ResultGrid result={preview.result} label={texts["connection.preview"]} texts={texts} locale={locale} />
          )}
        </section>
      )}
    </div>
  );
}

export function ConnectionQuery({ base, texts, locale, connectionId }) {
  const answer = useJob(base);
  const [limit, setLimit] = useState("100");
  const sql = useRef("");
  const run = () => {
    if (sql.current.trim())
      answer.run(`/connections/${connectionId}/query`, { sql: sql.current, limit: Number(limit) });
  };
  // The editor says what is typed after a pause: the key and the button want it at once.
  const box = useRef(null);
  const now = () => {
    box.current?.querySelector(".cm-content")?.blur();
    setTimeout(run, 0);
  };
  const keys = (event) => {
    if ((event.ctrlKey || event.metaKey) && event.key === "Enter") {
      event.preventDefault();
      event.stopPropagation();
      now();
    }
  };
  const [diagnostics, setDiagnostics] = useState([]);
  useEffect(() => {
    const at = /\bline (\d+)/i.exec(answer.problem?.message ?? "");
    setDiagnostics(at ? [{ line: Number(at[1]), column: 1, message: answer.problem.message }] : []);
  }, [answer.problem]);
  return (
    <section className="card" ref={box}>
      <div className="form" onKeyDownCapture={keys}>
        <p className="muted">{texts["connection.query_text"]}</p>
        <CodeEditor
          value="" language="sql" label={texts["connection.query"]} height="180px" diagnostics={diagnostics}
          onChange={(text) => (sql.current = text)}
        />
        <div className="row">
          <button type="button" className="button primary" onClick={now} disabled={answer.busy}>
            {texts["connection.run_query"]}
          </button>
          <kbd dir="ltr">Ctrl + Enter</kbd>
          <label className="row push">
            {texts["connection.limit"]}
            <select className="select" value={limit} onChange={(e) => setLimit(e.target.value)}>
              {["100", "500", "1000"].map((one) => <option key={one}>{one}</option>)}
            </select>
          </label>
        </div>
      </div>
      {answer.busy && <Busy text={texts["connection.reading"]} />}
      {answer.problem && <div className="form"><Problem problem={answer.problem} texts={texts} title={texts["connection.query_failed"]} /></div>}
      {answer.result && !answer.busy && (
        <ResultGrid result={answer.result} label={texts["connection.result"]} texts={texts} locale={locale} />
      )}
    </section>
  );
}
