// How one table is loaded: what of it, how it lands, what is hidden, what may change.
import { useState } from "react";
import { Check, Choice, Names, Number_, Section, set, Text } from "./builder_fields.jsx";

const OPERATORS = ["eq", "ne", "gt", "gte", "lt", "lte", "in", "not_in", "is_null", "not_null"];
const MODES = ["evolve", "freeze", "discard_value", "discard_row"];
const STRATEGIES = ["delete-insert", "upsert", "scd2"];
const technical = (values) => values.map((one) => [one, one]);
const list = (value) => (Array.isArray(value) ? value : []);

// A number where it is one, as the specification wants it.
const value = (text) => {
  if (/^-?\d{1,15}$/.test(text)) return Number(text);
  return text === "true" ? true : text === "false" ? false : text;
};

const written = (filter) =>
  Array.isArray(filter.values) && filter.values.length ? filter.values.join(", ") : String(filter.value ?? "");

function filterOf(column, operator, text) {
  if (operator === "is_null" || operator === "not_null") return { column, operator };
  if (operator === "in" || operator === "not_in")
    return { column, operator, values: text.split(",").map((one) => value(one.trim())).filter((one) => one !== "") };
  return { column, operator, value: value(text) };
}

// "append", "replace", "merge" and "cdc" are one choice for people.
export const modeOf = (table) => (table.sync === "cdc" ? "cdc" : (table.write_disposition ?? "replace"));

export function withMode(table, mode) {
  const { sync: _, ...rest } = table;
  if (mode === "cdc") return { ...rest, sync: "cdc", write_disposition: "merge", cursor: undefined };
  const next = { ...rest, write_disposition: mode };
  if (mode !== "merge") {
    delete next.merge_strategy;
    delete next.delete_column;
  }
  if (mode === "replace") delete next.cursor;
  return next;
}

export function TableSettings({ table, columns, givesChanges, disabled, texts, onChange, onRead, isReading, readError }) {
  const mode = modeOf(table);
  const change = (name, next) => onChange(set(table, name, next));
  const cursor = (name, next) => onChange(set(table, "cursor", set(table.cursor, name, next)));
  const contract = (name, next) =>
    change("schema_contract", Object.keys(set(table.schema_contract, name, next === "evolve" ? "" : next)).length
      ? set(table.schema_contract, name, next === "evolve" ? "" : next)
      : undefined);
  const names = columns.length
    ? columns
    : [...new Set([...list(table.columns), ...list(table.primary_key), ...list(table.hash),
        ...list(table.mask).map((one) => one?.column)])].filter(Boolean).map((name) => ({ name, data_type: "" }));
  return (
    <div className="stack">
      <Text label={texts["builder.target"]} value={table.target} disabled={disabled} dir="ltr"
        help={texts["builder.target_help"]} onChange={(next) => change("target", next)} />
      <Choice label={texts["builder.write_mode"]} value={mode} disabled={disabled}
        options={[["replace", texts["builder.mode_replace"]], ["append", texts["builder.mode_append"]],
          ["merge", texts["builder.mode_merge"]],
          ...(givesChanges || mode === "cdc" ? [["cdc", texts["builder.mode_cdc"]]] : [])]}
        onChange={(next) => onChange(withMode(table, next))} />
      {(mode === "merge" || mode === "cdc") && (
        <Names label={texts["builder.primary_key"]} value={list(table.primary_key)} disabled={disabled}
          help={texts["builder.names_help"]} onChange={(next) => change("primary_key", next)} />
      )}
      {mode === "merge" && (
        <>
          <Choice label={texts["builder.merge_strategy"]} value={table.merge_strategy ?? "delete-insert"} disabled={disabled}
            options={technical(STRATEGIES)} help={texts["builder.merge_help"]}
            onChange={(next) => change("merge_strategy", next === "delete-insert" ? undefined : next)} />
          <Text label={texts["builder.delete_column"]} value={table.delete_column} disabled={disabled} dir="ltr"
            help={texts["builder.delete_help"]} onChange={(next) => change("delete_column", next)} />
        </>
      )}
      {mode === "cdc" && (
        <Choice label={texts["builder.deletes"]} value={table.deletes ?? "hard"} disabled={disabled}
          options={[["hard", texts["builder.deletes_hard"]], ["soft", texts["builder.deletes_soft"]]]}
          onChange={(next) => change("deletes", next === "hard" ? undefined : next)} />
      )}
      {(mode === "append" || mode === "merge") && (
        <Section title={texts["builder.cursor"]} open={!!table.cursor}>
          <Text label={texts["builder.cursor_column"]} value={table.cursor?.column} disabled={disabled} dir="ltr"
            help={texts["builder.cursor_help"]}
            onChange={(next) => (next ? cursor("column", next) : change("cursor", undefined))} />
          {table.cursor && (
            <>
              <Text label={texts["builder.initial_value"]} value={table.cursor.initial_value} disabled={disabled} dir="ltr"
                onChange={(next) => cursor("initial_value", next === "" ? undefined : value(next))} />
              <div className="form-grid tight">
                <Number_ label={texts["builder.lag_seconds"]} value={table.cursor.lag_seconds} min={0} disabled={disabled}
                  onChange={(next) => cursor("lag_seconds", next)} />
                <Number_ label={texts["builder.lag"]} value={table.cursor.lag} min={0} disabled={disabled}
                  onChange={(next) => cursor("lag", next)} />
              </div>
            </>
          )}
        </Section>
      )}
      <Section title={texts["builder.columns"]} open={columns.length > 0}>
        {!columns.length && onRead && (
          <div className="row">
            <button type="button" className="button" disabled={isReading} onClick={onRead}>
              {texts["builder.read_columns"]}
            </button>
            {isReading && <span className="spinner small" role="status" aria-label={texts["builder.reading_tables"]} />}
          </div>
        )}
        {readError && <p className="wrong-text" role="alert">{readError}</p>}
        {names.length > 0 && <Columns table={table} names={names} disabled={disabled} texts={texts} onChange={onChange} />}
      </Section>
      <Section title={texts["builder.filters"]} open={list(table.filters).length > 0}>
        <Filters table={table} names={names} disabled={disabled} texts={texts} onChange={change} />
      </Section>
      <Section title={texts["builder.contract"]} open={!!table.schema_contract || !!table.on_bad_row}>
        {["tables", "columns", "data_types"].map((name) => (
          <Choice key={name} label={name} value={table.schema_contract?.[name] ?? "evolve"} disabled={disabled}
            options={technical(MODES)} onChange={(next) => contract(name, next)} />
        ))}
        <Choice label={texts["builder.bad_rows"]} value={table.on_bad_row ?? "fail"} disabled={disabled}
          options={[["fail", texts["builder.bad_fail"]], ["quarantine", texts["builder.bad_quarantine"]]]}
          onChange={(next) => change("on_bad_row", next === "fail" ? undefined : next)} />
        <Number_ label={texts["builder.batch_rows"]} value={table.batch_rows} min={1} max={1000000} disabled={disabled}
          onChange={(next) => change("batch_rows", next)} />
      </Section>
    </div>
  );
}

// Which columns arrive, and which of them hidden.
function Columns({ table, names, disabled, texts, onChange }) {
  const only = list(table.columns);
  const hashed = list(table.hash);
  const masks = list(table.mask);
  const all = names.map((one) => one.name);
  const include = (name, on) => {
    const now = only.length ? only : all;
    const next = on ? [...now, name] : now.filter((one) => one !== name);
    const ordered = all.filter((one) => next.includes(one));
    onChange(set(table, "columns", ordered.length === all.length ? undefined : ordered));
  };
  const hide = (name, how) => {
    let next = set(table, "hash", hashed.filter((one) => one !== name));
    next = set(next, "mask", masks.filter((one) => one?.column !== name));
    if (how === "hash") next = set(next, "hash", [...list(next.hash), name]);
    else if (how) next = set(next, "mask", [...list(next.mask), { column: name, how }]);
    onChange(next);
  };
  const hidden = (name) =>
    hashed.includes(name) ? "hash" : (masks.find((one) => one?.column === name)?.how ?? (masks.some((one) => one?.column === name) ? "text" : ""));
  return (
    <ul className="builder-columns">
      {names.map(({ name, data_type: type }) => (
        <li key={name}>
          <label className="check">
            <input type="checkbox" disabled={disabled} checked={!only.length || only.includes(name)}
              onChange={(event) => include(name, event.target.checked)} />
            <span dir="ltr"><span className="mono">{name}</span> <span className="muted">{type}</span></span>
          </label>
          <select className="select small" disabled={disabled} value={hidden(name)}
            aria-label={`${texts["builder.hide"]}: ${name}`} onChange={(event) => hide(name, event.target.value)}>
            <option value="">{texts["builder.as_it_is"]}</option>
            <option value="hash">{texts["builder.hash"]}</option>
            <option value="text">{texts["builder.mask"]}</option>
            <option value="keep_last">{texts["builder.mask_keep"]}</option>
            <option value="null">{texts["builder.mask_null"]}</option>
          </select>
        </li>
      ))}
    </ul>
  );
}

function Filters({ table, names, disabled, texts, onChange }) {
  const filters = list(table.filters).filter((one) => one && typeof one === "object");
  const [draft, setDraft] = useState({ column: "", operator: "eq", text: "" });
  const needsNone = draft.operator === "is_null" || draft.operator === "not_null";
  const add = () => {
    onChange("filters", [...filters, filterOf(draft.column, draft.operator, draft.text)]);
    setDraft({ column: "", operator: "eq", text: "" });
  };
  return (
    <>
      <ul className="builder-filters">
        {filters.map((one, index) => (
          <li key={index}>
            <code dir="ltr">{`${one.column} ${one.operator} ${written(one)}`}</code>
            {!disabled && (
              <button type="button" className="icon-button small" aria-label={`${texts["builder.remove"]}: ${one.column}`}
                onClick={() => onChange("filters", filters.filter((_, other) => other !== index))}>✕</button>
            )}
          </li>
        ))}
      </ul>
      {!disabled && (
        <div className="builder-filter-form">
          <input className="input" list="builder-column-names" value={draft.column} dir="ltr"
            placeholder={texts["builder.column"]} aria-label={texts["builder.column"]}
            onChange={(event) => setDraft({ ...draft, column: event.target.value })} />
          <datalist id="builder-column-names">
            {names.map((one) => <option key={one.name} value={one.name} />)}
          </datalist>
          <select className="select" value={draft.operator} aria-label={texts["builder.operator"]}
            onChange={(event) => setDraft({ ...draft, operator: event.target.value })}>
            {OPERATORS.map((one) => <option key={one} value={one}>{one}</option>)}
          </select>
          <input className="input" value={draft.text} disabled={needsNone} dir="ltr"
            placeholder={texts["builder.value"]} aria-label={texts["builder.value"]}
            onChange={(event) => setDraft({ ...draft, text: event.target.value })}
            onKeyDown={(event) => event.key === "Enter" && draft.column && add()} />
          <button type="button" className="button" disabled={!draft.column || (!needsNone && !draft.text)} onClick={add}>
            {texts["builder.add"]}
          </button>
        </div>
      )}
    </>
  );
}
