// Settings of one step, in the panel beside the graph.
import { useState } from "react";
import { readable } from "$/public/external/datanika/ui/wrappers/island/rest.js";
import { Check, Choice, Names, Number_, Section, set, Text } from "./builder_fields.jsx";
import { circle, dependsOn, namesOf, tablesOf } from "./builder_graph.jsx";
import { TableSettings, modeOf } from "./builder_table.jsx";
import { TablePicker, introspect } from "./builder_tables.jsx";

const COMMANDS = ["build", "run", "test", "seed", "snapshot", "compile", "source freshness"];
const KEY = "[a-z][a-z0-9_]{0,62}";

export function StepPanel(props) {
  const { step, steps, disabled, texts, onChange, onRename, onRemove, problems } = props;
  const index = steps.indexOf(step);
  const wrong = problems.filter((one) => `${one.field}.`.startsWith(`steps.${index}.`));
  return (
    <div className="builder-panel-body stack" key={step.key}>
      {wrong.length > 0 && (
        <ul className="builder-wrong" aria-live="polite">
          {wrong.map((one, at) => (
            <li key={at}><code dir="ltr">{one.field.replace(`steps.${index}.`, "")}</code> {one.message}</li>
          ))}
        </ul>
      )}
      <Text label={texts["builder.key"]} value={step.key} disabled={disabled} dir="ltr" pattern={KEY} maxLength={63}
        onChange={(next) => onRename(step.key, next.trim())} />
      {step.kind === "transform" ? <TransformFields {...props} /> : <LoadFields {...props} />}
      <RunsAfter {...props} />
      <Retries step={step} disabled={disabled} texts={texts} onChange={onChange} />
      {!disabled && (
        <button type="button" className="button danger" onClick={() => onRemove(step.key)}>
          {texts["builder.remove_step"]}
        </button>
      )}
    </div>
  );
}

const connections = (all, able, texts) => [
  ["", texts["builder.choose"]],
  ...all.filter((one) => one[able]).map((one) => [String(one.id), `${one.name} · ${one.title}`]),
];
const id = (text) => (text ? Number(text) : undefined);

function LoadFields({ step, disabled, texts, locale, api, connections: all, mayIntrospect, catalog, onCatalog, onChange }) {
  const [picks, setPicks] = useState(false);
  const [opened, setOpened] = useState(null);
  const [reading, setReading] = useState({ name: null, error: "" });
  const tables = tablesOf(step);
  const source = all.find((one) => one.id === step.source_id);
  const known = catalog[step.source_id] ?? {};
  const change = (name, value) => onChange(set(step, name, value));
  const table = tables.find((one) => one.name === opened);
  const replace = (name, next) =>
    change("tables", tables.map((one) => (one.name === name ? next : one)));

  const take = ({ schema, tables: chosen, known: shown }) => {
    setPicks(false);
    onCatalog(step.source_id, shown);
    const before = new Map(tables.map((one) => [one.name, one]));
    const offered = new Set(shown.map((one) => one.name));
    const typed = tables.filter((one) => !offered.has(one.name));
    const next = chosen.map((one) => before.get(one.name) ?? {
      name: one.name,
      ...(one.primary_key.length ? { write_disposition: "merge", primary_key: one.primary_key } : {}),
    });
    onChange(set(set(step, "tables", [...typed, ...next]), "source_schema", schema || undefined));
  };
  const readColumns = async (name) => {
    setReading({ name, error: "" });
    try {
      const found = await introspect(api, step.source_id, { schema: step.source_schema, search: name });
      onCatalog(step.source_id, found.tables);
      setReading({ name: null, error: found.tables.some((one) => one.name === name) ? "" : texts["builder.no_tables"] });
    } catch (error) {
      setReading({ name: null, error: readable(error) || texts["builder.tables_failed"] });
    }
  };

  if (table)
    return (
      <div className="stack">
        <div className="row">
          <button type="button" className="button" onClick={() => setOpened(null)}>
            <span aria-hidden="true" className="back-arrow">←</span> {texts["builder.all_tables"]}
          </button>
          <strong className="mono" dir="ltr">{table.name}</strong>
        </div>
        <TableSettings table={table} columns={known[table.name]?.columns ?? []} disabled={disabled} texts={texts}
          givesChanges={!!source?.gives_changes} onChange={(next) => replace(table.name, next)}
          onRead={mayIntrospect && step.source_id && !disabled ? () => readColumns(table.name) : null}
          isReading={reading.name === table.name} readError={reading.error} />
      </div>
    );
  return (
    <>
      <Choice label={texts["builder.source"]} value={step.source_id ? String(step.source_id) : ""} disabled={disabled}
        options={connections(all, "source", texts)} onChange={(next) => change("source_id", id(next))} />
      <Choice label={texts["builder.destination"]} value={step.destination_id ? String(step.destination_id) : ""} disabled={disabled}
        options={connections(all, "destination", texts)} onChange={(next) => change("destination_id", id(next))} />
      <Text label={texts["builder.target_schema"]} value={step.target_schema} disabled={disabled} dir="ltr" pattern={KEY}
        onChange={(next) => change("target_schema", next.trim())} />
      <div className="builder-tables">
        <div className="row">
          <span className="label">{texts["builder.tables"]} · {tables.length}</span>
          {!disabled && mayIntrospect && (
            <button type="button" className="button" aria-haspopup="dialog" disabled={!step.source_id} onClick={() => setPicks(true)}>
              {texts["builder.choose_tables"]}
            </button>
          )}
        </div>
        {tables.length === 0 && <p className="muted">{texts["builder.tables_empty"]}</p>}
        <ul>
          {tables.slice(0, 200).map((one) => (
            <li key={one.name}>
              <button type="button" className="builder-table" onClick={() => setOpened(one.name)}>
                <span className="mono" dir="ltr">{one.name}</span>
                <span className="chip">{modeOf(one)}</span>
              </button>
              {!disabled && (
                <button type="button" className="icon-button small" aria-label={`${texts["builder.remove"]}: ${one.name}`}
                  onClick={() => change("tables", tables.filter((other) => other !== one))}>✕</button>
              )}
            </li>
          ))}
        </ul>
        {!disabled && <AddTable texts={texts} onAdd={(name) =>
          tables.some((one) => one.name === name) || change("tables", [...tables, { name }])} />}
      </div>
      <TablePicker isOpen={picks} api={api} step={step} texts={texts} locale={locale} onDone={take} onClose={() => setPicks(false)} />
    </>
  );
}

// A name that the source does not list: a file pattern, an endpoint.
function AddTable({ texts, onAdd }) {
  const [name, setName] = useState("");
  const add = () => {
    if (name.trim()) onAdd(name.trim());
    setName("");
  };
  return (
    <div className="builder-add">
      <input className="input" value={name} dir="ltr" placeholder={texts["builder.add_table"]} aria-label={texts["builder.add_table"]}
        onChange={(event) => setName(event.target.value)} onKeyDown={(event) => event.key === "Enter" && add()} />
      <button type="button" className="button" disabled={!name.trim()} onClick={add}>{texts["builder.add"]}</button>
    </div>
  );
}

function TransformFields({ step, disabled, texts, connections: all, onChange }) {
  const change = (name, value) => onChange(set(step, name, value));
  return (
    <>
      <Choice label={texts["builder.project"]} value={step.destination_id ? String(step.destination_id) : ""} disabled={disabled}
        help={texts["builder.project_help"]} options={connections(all, "transforms", texts)}
        onChange={(next) => change("destination_id", id(next))} />
      <Choice label={texts["builder.command"]} value={step.command ?? "build"} disabled={disabled}
        options={COMMANDS.map((one) => [one, `dbt ${one}`])}
        onChange={(next) => change("command", next === "build" ? undefined : next)} />
      <Names label={texts["builder.select"]} value={namesOf(step.select)} disabled={disabled} help={texts["builder.select_help"]}
        onChange={(next) => change("select", next)} />
      <Names label={texts["builder.exclude"]} value={namesOf(step.exclude)} disabled={disabled}
        onChange={(next) => change("exclude", next)} />
      <Text label={texts["builder.default_schema"]} value={step.default_schema} disabled={disabled} dir="ltr" placeholder="analytics"
        onChange={(next) => change("default_schema", next.trim())} />
      <Number_ label={texts["builder.threads"]} value={step.threads} min={1} max={16} placeholder="2" disabled={disabled}
        onChange={(next) => change("threads", next)} />
      <Check label={texts["builder.full_refresh"]} checked={step.full_refresh} disabled={disabled}
        onChange={(on) => change("full_refresh", on || undefined)} />
      <Check label={texts["builder.fail_fast"]} checked={step.fail_fast} disabled={disabled}
        onChange={(on) => change("fail_fast", on || undefined)} />
      <Check label={texts["builder.store_failures"]} checked={step.store_failures} disabled={disabled}
        onChange={(on) => change("store_failures", on || undefined)} />
    </>
  );
}

// What is drawn with the mouse can be ticked as well.
function RunsAfter({ step, steps, disabled, texts, onConnect, onDisconnect }) {
  const others = steps.filter((one) => one !== step);
  if (!others.length) return null;
  return (
    <fieldset className="builder-after">
      <legend className="label">{texts["builder.runs_after"]}</legend>
      {others.map((one) => {
        const is = dependsOn(step).includes(one.key);
        const closes = !is && circle(steps, one.key, step.key);
        return (
          <Check key={one.key} label={<span dir="ltr" className="mono">{one.key}</span>} checked={is}
            disabled={disabled || !!closes} help={closes ? texts["builder.would_circle"] : undefined}
            onChange={(on) => (on ? onConnect(one.key, step.key) : onDisconnect(one.key, step.key))} />
        );
      })}
    </fieldset>
  );
}

function Retries({ step, disabled, texts, onChange }) {
  const change = (name, value) => {
    const retry = set(step.retry, name, value);
    onChange(set(step, "retry", Object.keys(retry).length ? retry : undefined));
  };
  return (
    <Section title={texts["builder.retries_and_time"]} open={false}>
      <div className="form-grid tight">
        <Number_ label={texts["builder.retries"]} value={step.retry?.retries} placeholder="2" min={0} max={10} disabled={disabled}
          onChange={(next) => change("retries", next)} />
        <Number_ label={texts["builder.delay_seconds"]} value={step.retry?.delay_seconds} placeholder="5" min={0} max={3600} disabled={disabled}
          onChange={(next) => change("delay_seconds", next)} />
        <Number_ label={texts["builder.timeout_seconds"]} value={step.retry?.timeout_seconds} placeholder="3600" min={1} max={86400} disabled={disabled}
          onChange={(next) => change("timeout_seconds", next)} />
      </div>
    </Section>
  );
}
