// The form of a connection's configuration, made of its kind's JSON schema.
import { useId, useState } from "react";

// A schema that may be null, and one that stands elsewhere, as the one that says what is entered.
export function plain(schema, root) {
  if (schema.$ref) return { ...plain(root.$defs[schema.$ref.split("/").pop()], root), ...rest(schema) };
  const some = schema.anyOf?.filter((one) => one.type !== "null");
  if (some?.length === 1) return { ...plain(some[0], root), ...rest(schema), nullable: true };
  return schema;
}
const rest = ({ $ref, anyOf, ...others }) => others;

const one = (...values) => (value) => values.includes(value);
// Fields that mean something only beside a value of another one.
const WHEN = {
  user: { auth: one("basic"), mechanism: (value) => value !== "none" },
  password: { auth: one("basic"), mechanism: (value) => value !== "none" },
  token: { auth: one("bearer") },
  api_key: { auth: one("api_key") },
  api_key_name: { auth: one("api_key") },
  api_key_location: { auth: one("api_key") },
  delimiter: { format: one("csv") },
  next_selector: { paginator: one("json_link", "cursor") },
  page_param: { paginator: one("page_number", "offset", "cursor") },
  limit_param: { paginator: one("page_number", "offset", "cursor") },
  page_size: { paginator: one("page_number", "offset", "cursor", "auto") },
  first_page: { paginator: one("page_number") },
  cursor_param: { cursor_column: (value) => !!value },
};

export function isShown(name, schema, values) {
  return Object.entries(WHEN[name] ?? {}).every(
    ([other, fits]) => !(other in schema.properties) || fits(values[other] ?? schema.properties[other].default),
  );
}

export const isLong = (name, schema) => name === "service_account" || schema.maxLength > 1000;

// What the inputs hold at first: texts, booleans and lists of such objects.
export function initial(schema, root, config = {}) {
  const values = {};
  for (const [name, given] of Object.entries(schema.properties)) {
    const field = plain(given, root);
    const value = config[name] ?? (field.writeOnly ? undefined : field.default);
    values[name] = shownAs(field, value, root);
  }
  return values;
}

function shownAs(field, value, root) {
  if (field.type === "boolean") return value ?? false;
  if (field.type === "array") {
    const item = plain(field.items ?? {}, root);
    if (item.type === "object") {
      const least = Array.from({ length: value ? 0 : (field.minItems ?? 0) }, () => ({}));
      return (value ?? least).map((entry) => initial(item, root, entry));
    }
    return (value ?? []).join("\n");
  }
  if (field.type === "object")
    return Object.entries(value ?? {}).map(([key, text]) => `${key}=${text}`).join("\n");
  return value == null ? "" : String(value);
}

const lines = (text) => text.split("\n").map((line) => line.trim()).filter(Boolean);

// What is sent, and what is wrong: {config, wrong: {"endpoints.0.name": "required" | "invalid"}}.
// `kept`: names of secrets that are set already and stay if they are left empty.
export function collect(schema, root, values, kept = [], path = "") {
  const config = {};
  const wrong = {};
  const required = schema.required ?? [];
  for (const [name, given] of Object.entries(schema.properties)) {
    const field = plain(given, root);
    if (!isShown(name, schema, values)) continue;
    const at = path + name;
    const value = values[name];
    if (field.type === "boolean") {
      config[name] = value;
    } else if (field.type === "array" && plain(field.items ?? {}, root).type === "object") {
      const item = plain(field.items, root);
      config[name] = value.map((entry, index) => {
        const inner = collect(item, root, entry, [], `${at}.${index}.`);
        Object.assign(wrong, inner.wrong);
        return inner.config;
      });
      if (value.length < (field.minItems ?? 0)) wrong[at] = "required";
    } else if (field.type === "array") {
      config[name] = lines(value);
      if (config[name].length < (field.minItems ?? 0)) wrong[at] = "required";
    } else if (field.type === "object") {
      const pairs = lines(value).map((line) => [line.split("=")[0].trim(), line.slice(line.indexOf("=") + 1).trim()]);
      config[name] = Object.fromEntries(pairs);
      if (lines(value).some((line) => !line.includes("="))) wrong[at] = "invalid";
    } else if (value === "") {
      if (required.includes(name) && !kept.includes(name)) wrong[at] = "required";
      else if (!field.writeOnly && field.nullable) config[name] = null;
    } else if (field.type === "integer" || field.type === "number") {
      config[name] = Number(value);
      const fits = Number.isFinite(config[name]) && (field.type === "number" || Number.isInteger(config[name]));
      if (!fits || config[name] < (field.minimum ?? -Infinity) || config[name] > (field.maximum ?? Infinity))
        wrong[at] = "invalid";
    } else {
      config[name] = value;
      if (field.pattern && !matches(field.pattern, value)) wrong[at] = "invalid";
      if (value.length > (field.maxLength ?? Infinity) || value.length < (field.minLength ?? 0))
        wrong[at] = "invalid";
    }
  }
  return { config, wrong };
}

function matches(pattern, value) {
  try {
    return new RegExp(pattern, "u").test(value);
  } catch {
    // A pattern of Python that is none here: the server looks anyway.
    return true;
  }
}

export function Fields({ schema, root, values, onChange, wrong, kept, labels, texts, only, path = "" }) {
  const names = Object.keys(schema.properties).filter(
    (name) => (!only || only.includes(name)) && isShown(name, schema, values),
  );
  const set = (name) => (value) => onChange({ ...values, [name]: value });
  return names.map((name) => (
    <Field
      key={name} name={name} at={path + name} field={plain(schema.properties[name], root)} root={root}
      isRequired={(schema.required ?? []).includes(name) && !kept?.includes(name)}
      isKept={!!kept?.includes(name)} value={values[name]} onChange={set(name)} wrong={wrong}
      labels={labels} texts={texts}
    />
  ));
}

function Field({ name, at, field, root, isRequired, isKept, value, onChange, wrong, labels, texts }) {
  const id = useId();
  const label = texts[labels[field.title]] ?? field.title ?? name;
  const problem = wrong[at];
  const says = { required: texts["connection.field_required"], invalid: texts["connection.field_invalid"] };
  const help = texts[labels[field.description]] ?? field.description;
  const described = [help && `${id}-help`, problem && `${id}-wrong`].filter(Boolean).join(" ") || undefined;
  const common = {
    id, name: at, "aria-describedby": described, "aria-invalid": problem ? true : undefined,
    "aria-required": isRequired || undefined,
  };
  const notes = (
    <>
      {help && <span className="help" id={`${id}-help`}>{help}</span>}
      {problem && (
        <span className="wrong" id={`${id}-wrong`} role="alert">{says[problem] ?? problem}</span>
      )}
    </>
  );
  if (field.type === "boolean")
    return (
      <div className="field">
        <label className="check" htmlFor={id}>
          <input type="checkbox" checked={value} onChange={(e) => onChange(e.target.checked)} {...common} />
          <span>{label}</span>
        </label>
        {notes}
      </div>
    );
  if (field.type === "array" && plain(field.items ?? {}, root).type === "object")
    return (
      <Entries {...{ at, field, root, label, value, onChange, wrong, labels, texts }}>{notes}</Entries>
    );
  return (
    <div className={isLong(name, field) ? "field span" : "field"}>
      <label htmlFor={id}>
        {label}
        {isRequired && <span className="needed" aria-hidden="true"> *</span>}
        {field.writeOnly && <span className="secret-mark">{texts["connection.secret"]}</span>}
      </label>
      <Control {...{ common, name, field, value, onChange, isKept, texts }} />
      {notes}
    </div>
  );
}

function Control({ common, name, field, value, onChange, isKept, texts }) {
  const change = (event) => onChange(event.target.value);
  if (field.enum)
    return (
      <select value={value} onChange={change} {...common}>
        {field.enum.map((option) => <option key={option} value={option}>{option}</option>)}
      </select>
    );
  const placeholder = isKept ? texts["connection.secret_kept"] : (field.examples?.[0] ?? "");
  if (isLong(name, field) || field.type === "object" || field.type === "array")
    return (
      <textarea value={value} onChange={change} placeholder={placeholder} spellCheck={false} dir="ltr" {...common} />
    );
  if (field.writeOnly) return <Secret {...{ common, value, change, placeholder, texts }} />;
  const type = field.type === "integer" ? "number" : "text";
  return (
    <input
      type={type} value={value} onChange={change} placeholder={String(placeholder)} dir="ltr"
      min={field.minimum} max={field.maximum} autoComplete="off" spellCheck={false} {...common}
    />
  );
}

function Secret({ common, value, change, placeholder, texts }) {
  const [isOpen, open] = useState(false);
  return (
    <span className="secret">
      <input
        type={isOpen ? "text" : "password"} value={value} onChange={change} placeholder={placeholder}
        autoComplete="new-password" spellCheck={false} dir="ltr" {...common}
      />
      <button type="button" className="text-button" aria-pressed={isOpen} onClick={() => open(!isOpen)}>
        {isOpen ? texts["connection.hide"] : texts["connection.show"]}
      </button>
    </span>
  );
}

// A list of objects, such as the endpoints of an API: a card each.
function Entries({ at, field, root, label, value, onChange, wrong, labels, texts, children }) {
  const item = plain(field.items, root);
  const put = (index, entry) => onChange(value.map((old, i) => (i === index ? entry : old)));
  return (
    <fieldset className="entries span">
      <legend>{label}</legend>
      {children}
      {value.map((entry, index) => (
        <div className="entry" key={index}>
          <div className="entry-head">
            <strong>{entry.name || `${label} ${index + 1}`}</strong>
            <button
              type="button" className="text-button danger"
              onClick={() => onChange(value.filter((_, i) => i !== index))}
            >
              {texts["connection.remove"]}
            </button>
          </div>
          <div className="form-grid">
            <Fields
              schema={item} root={root} values={entry} onChange={(next) => put(index, next)} wrong={wrong}
              labels={labels} texts={texts} path={`${at}.${index}.`}
            />
          </div>
        </div>
      ))}
      <button type="button" className="button" onClick={() => onChange([...value, initial(item, root)])}>
        {texts["connection.add"]}
      </button>
    </fieldset>
  );
}
