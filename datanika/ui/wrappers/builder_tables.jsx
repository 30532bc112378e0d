// Which tables a source has, read by a job of the API, and which of them a step loads.
import { useEffect, useMemo, useRef, useState } from "react";
import { Dialog } from "$/public/external/datanika/ui/wrappers/dialog/dialog.jsx";
import { bytes } from "$/public/external/datanika/ui/wrappers/island/island.js";
import { job, readable } from "$/public/external/datanika/ui/wrappers/island/rest.js";

const PAGE = 500;
const MAX_TABLES = 2000;

// All pages of what the source has. Throws a Problem.
export async function introspect(api, connection, { schema, search, onPage } = {}) {
  const found = { schemas: [], tables: [] };
  let offset = 0;
  while (offset !== null && found.tables.length < MAX_TABLES) {
    const result = await job(`${api}/api/v1`, `/connections/${connection}/introspect`, {
      schema_name: schema || null, search: search || null, limit: PAGE, offset,
    });
    if (result.schemas?.length) found.schemas = result.schemas;
    found.tables.push(...result.tables);
    offset = result.next_offset;
    onPage?.(found.tables.length);
  }
  return found;
}

// onDone gets { schema, tables }: the chosen ones as the source described them.
export function TablePicker({ isOpen, api, step, texts, locale, onDone, onClose }) {
  const [state, setState] = useState({ busy: false, count: 0, error: null, found: null });
  const [schema, setSchema] = useState(step.source_schema ?? "");
  const [search, setSearch] = useState("");
  const [chosen, setChosen] = useState(new Set());
  const round = useRef(0);
  const number = useMemo(() => new Intl.NumberFormat(locale), [locale]);
  const has = useMemo(() => new Set((step.tables ?? []).map((table) => table?.name)), [step.tables]);

  const read = async (wanted) => {
    const mine = ++round.current;
    setState({ busy: true, count: 0, error: null, found: null });
    try {
      const found = await introspect(api, step.source_id, {
        schema: wanted,
        onPage: (count) => mine === round.current && setState((old) => ({ ...old, count })),
      });
      if (mine !== round.current) return;
      const schemas = [...new Set(found.tables.map((table) => table.schema_name))];
      const only = wanted || (schemas.length === 1 ? schemas[0] : schemas.includes("public") ? "public" : schemas[0]);
      setSchema(only ?? "");
      setState({ busy: false, count: found.tables.length, error: null, found });
    } catch (error) {
      if (mine === round.current)
        setState({ busy: false, count: 0, error: readable(error) || texts["builder.tables_failed"], found: null });
    }
  };
  useEffect(() => {
    if (!isOpen) return;
    setChosen(new Set(has));
    setSearch("");
    read(step.source_schema ?? "");
  }, [isOpen, step.source_id]);

  const schemas = state.found
    ? [...new Set([...state.found.schemas, ...state.found.tables.map((table) => table.schema_name)])].filter(Boolean)
    : [];
  const shown = (state.found?.tables ?? []).filter(
    (table) =>
      (!schema || table.schema_name === schema) && table.name.toLowerCase().includes(search.trim().toLowerCase()),
  );
  const toggle = (name, on) =>
    setChosen((old) => {
      const next = new Set(old);
      on ? next.add(name) : next.delete(name);
      return next;
    });
  const all = (on) =>
    setChosen((old) => {
      const next = new Set(old);
      for (const table of shown) on ? next.add(table.name) : next.delete(table.name);
      return next;
    });
  const known = state.found?.tables.filter((table) => !schema || table.schema_name === schema) ?? [];
  const done = () => onDone({ schema, tables: known.filter((table) => chosen.has(table.name)), known });

  return (
    <Dialog isOpen={isOpen} label={texts["builder.choose_tables"]} closeLabel={texts["dialog.close"]} wide onClose={onClose}>
      {isOpen && (
        <>
          <div className="toolbar">
            {schemas.length > 0 && (
              <select
                className="select"
                aria-label={texts["builder.source_schema"]}
                value={schema}
                onChange={(event) => {
                  setSchema(event.target.value);
                  if (!state.found.tables.some((table) => table.schema_name === event.target.value))
                    read(event.target.value);
                }}
              >
                {schemas.map((one) => (
                  <option key={one} value={one}>{one}</option>
                ))}
              </select>
            )}
            <input
              className="input grow"
              type="search"
              value={search}
              placeholder={texts["builder.search_tables"]}
              aria-label={texts["builder.search_tables"]}
              onChange={(event) => setSearch(event.target.value)}
            />
            <button type="button" className="button" disabled={!shown.length} onClick={() => all(true)}>
              {texts["builder.select_all"]}
            </button>
            <button type="button" className="button" disabled={!shown.length} onClick={() => all(false)}>
              {texts["builder.select_none"]}
            </button>
          </div>
          <div className="table-wrap builder-picker" tabIndex={0} role="region" aria-label={texts["builder.choose_tables"]}>
            {state.busy && (
              <p className="log-empty" role="status">
                <span className="spinner small" aria-hidden="true" /> {texts["builder.reading_tables"]}{" "}
                {state.count > 0 && number.format(state.count)}
              </p>
            )}
            {state.error && (
              <div className="notice bad" role="alert">
                <strong>{state.error}</strong>
                <button type="button" className="button" onClick={() => read(schema)}>{texts["builder.try_again"]}</button>
              </div>
            )}
            {state.found && !shown.length && <p className="log-empty">{texts["builder.no_tables"]}</p>}
            {shown.length > 0 && (
              <table>
                <thead>
                  <tr>
                    <th scope="col"><span className="visually-hidden">{texts["builder.chosen"]}</span></th>
                    <th scope="col">{texts["column.name"]}</th>
                    <th scope="col">{texts["column.kind"]}</th>
                    <th scope="col" className="end">{texts["builder.columns"]}</th>
                    <th scope="col" className="end">{texts["column.rows"]}</th>
                    <th scope="col" className="end">{texts["builder.size"]}</th>
                  </tr>
                </thead>
                <tbody>
                  {shown.slice(0, 500).map((table) => (
                    <tr key={`${table.schema_name}.${table.name}`}>
                      <td>
                        <input
                          type="checkbox"
                          aria-label={table.name}
                          checked={chosen.has(table.name)}
                          onChange={(event) => toggle(table.name, event.target.checked)}
                        />
                      </td>
                      <td className="mono" dir="ltr" title={table.columns.map((one) => `${one.name} ${one.data_type}`).join("\n")}>
                        {table.name}
                        {table.problem && <span className="wrong-text"> {table.problem}</span>}
                      </td>
                      <td className="muted">{table.kind}</td>
                      <td className="end number">{number.format(table.columns.length)}</td>
                      <td className="end number">{table.row_estimate == null ? "–" : `≈ ${number.format(table.row_estimate)}`}</td>
                      <td className="end number">{table.bytes == null ? "–" : bytes(table.bytes, locale)}</td>
                    </tr>
                  ))}
                </tbody>
              </table>
            )}
          </div>
          <div className="dialog-foot">
            <span className="muted" aria-live="polite">
              {texts["builder.chosen"]}: {number.format(known.filter((table) => chosen.has(table.name)).length)} / {number.format(known.length)}
            </span>
            <button type="button" className="button" onClick={onClose}>{texts["dialog.cancel"]}</button>
            <button type="button" className="button primary" disabled={!state.found} onClick={done}>
              {texts["builder.use_tables"]}
            </button>
          </div>
        </>
      )}
    </Dialog>
  );
}
