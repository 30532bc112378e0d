// Fields of the builder's panels. A text is told when the field is left or Enter is pressed.
import { useEffect, useId, useState } from "react";

export const set = (object, name, value) => {
  const { [name]: _, ...rest } = object ?? {};
  const empty = value === undefined || value === null || value === "" || (Array.isArray(value) && !value.length);
  return empty ? rest : { ...rest, [name]: value };
};

export function Text({ label, value, onChange, help, type = "text", disabled, ...props }) {
  const id = useId();
  const [text, setText] = useState(value ?? "");
  useEffect(() => setText(value ?? ""), [value]);
  const tell = () => {
    if (String(text) !== String(value ?? "")) onChange(text);
  };
  return (
    <div className="field">
      <label htmlFor={id}>{label}</label>
      <input
        id={id}
        type={type}
        value={text}
        disabled={disabled}
        aria-describedby={help ? `${id}-help` : undefined}
        onChange={(event) => setText(event.target.value)}
        onBlur={tell}
        onKeyDown={(event) => event.key === "Enter" && tell()}
        spellCheck={false}
        autoComplete="off"
        {...props}
      />
      {help && <span className="help" id={`${id}-help`}>{help}</span>}
    </div>
  );
}

// A number, or nothing.
export function Number_({ onChange, ...props }) {
  return (
    <Text
      type="number"
      onChange={(text) => onChange(text === "" ? undefined : Number(text))}
      {...props}
    />
  );
}

// Names separated by commas.
export function Names({ value, onChange, ...props }) {
  return (
    <Text
      value={(value ?? []).join(", ")}
      onChange={(text) => onChange(text.split(",").map((one) => one.trim()).filter(Boolean))}
      dir="ltr"
      {...props}
    />
  );
}

export function Choice({ label, value, options, onChange, help, disabled }) {
  const id = useId();
  return (
    <div className="field">
      <label htmlFor={id}>{label}</label>
      <select
        id={id}
        value={value ?? ""}
        disabled={disabled}
        aria-describedby={help ? `${id}-help` : undefined}
        onChange={(event) => onChange(event.target.value)}
      >
        {options.map(([key, text]) => (
          <option key={key} value={key}>{text}</option>
        ))}
      </select>
      {help && <span className="help" id={`${id}-help`}>{help}</span>}
    </div>
  );
}

export function Check({ label, checked, onChange, disabled, help }) {
  return (
    <div className="field">
      <label className="check">
        <input
          type="checkbox"
          checked={!!checked}
          disabled={disabled}
          onChange={(event) => onChange(event.target.checked)}
        />
        <span>{label}</span>
      </label>
      {help && <span className="help">{help}</span>}
    </div>
  );
}

export function Section({ title, children, open }) {
  return (
    <details className="builder-section" open={open}>
      <summary>{title}</summary>
      <div className="builder-section-body">{children}</div>
    </details>
  );
}
