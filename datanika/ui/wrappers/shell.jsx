// What the frame does in the browser: the menu on a phone, the organisation switch, the command
// palette with its shortcuts, and the id of a request that found no page.
import { useEffect, useId, useLayoutEffect, useRef, useState } from "react";
import { useLocation, useNavigate } from "react-router";
import { call, readable } from "$/public/external/datanika/ui/wrappers/island/rest.js";

const PALETTE = "datanika:palette";
const TYPING = "input, textarea, select, [contenteditable='true'], .cm-editor, dialog[open] *";

// Opens the navigation as a drawer where the screen is too small for both (see styles/base.css).
export function MenuButton({ label, controls, children }) {
  const [open, setOpen] = useState(false);
  const { pathname } = useLocation();
  useEffect(() => setOpen(false), [pathname]);
  useEffect(() => {
    document.documentElement.toggleAttribute("data-menu", open);
    if (!open) return undefined;
    const onKey = (event) => event.key === "Escape" && setOpen(false);
    document.getElementById(controls)?.querySelector("a, button")?.focus();
    window.addEventListener("keydown", onKey);
    return () => {
      window.removeEventListener("keydown", onKey);
      document.documentElement.removeAttribute("data-menu");
    };
  }, [open, controls]);
  return (
    <>
      <button
        type="button"
        className="icon-button menu-button"
        aria-label={label}
        aria-expanded={open}
        aria-controls={controls}
        onClick={() => setOpen(!open)}
      >
        {children}
      </button>
      {open && <div className="backdrop" onClick={() => setOpen(false)} />}
    </>
  );
}

// The cookie then is of the other organisation: a whole page load, so that nothing stays.
async function enter(api, orgId) {
  await call(api, "PUT", "/auth/session", { body: { org_id: orgId } });
  window.location.assign("/");
}

export function OrganizationMenu({ organizations, name, api, texts }) {
  const [open, setOpen] = useState(false);
  const [naming, setNaming] = useState(false);
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState("");
  const box = useRef(null);
  const button = useRef(null);
  useEffect(() => {
    if (!open) return undefined;
    const outside = (event) => !box.current?.contains(event.target) && setOpen(false);
    const onKey = (event) => {
      if (event.key === "Escape") {
        setOpen(false);
        button.current?.focus();
      }
    };
    document.addEventListener("pointerdown", outside);
    document.addEventListener("keydown", onKey);
    return () => {
      document.removeEventListener("pointerdown", outside);
      document.removeEventListener("keydown", onKey);
    };
  }, [open]);
  const attempt = async (work) => {
    setBusy(true);
    setError("");
    try {
      await work();
    } catch (problem) {
      setError(readable(problem) || texts["error.unknown"]);
      setBusy(false);
    }
  };
  const create = (event) => {
    event.preventDefault();
    const given = new FormData(event.currentTarget).get("name");
    attempt(async () => enter(api, (await call(api, "POST", "/organizations", { body: { name: given } })).data.id));
  };
  const toggle = () => {
    setOpen(!open);
    setNaming(false);
    setError("");
  };
  return (
    <div className="org-menu" ref={box}>
      <button
        type="button"
        ref={button}
        className="org-button"
        aria-expanded={open}
        aria-label={`${texts["frame.organization"]}: ${name}`}
        onClick={toggle}
      >
        <span className="org-initial" aria-hidden="true">{[...name][0]}</span>
        <strong id="organization">{name}</strong>
        <span className="org-arrow" aria-hidden="true">⌄</span>
      </button>
      {open && (
        <div className="popover">
          {error && <p className="wrong" role="alert">{error}</p>}
          <ul aria-label={texts["frame.organizations"]}>
            {organizations.map((one) => (
              <li key={one.id}>
                <button
                  type="button"
                  disabled={busy}
                  aria-current={one.is_current ? "true" : undefined}
                  onClick={() => (one.is_current ? setOpen(false) : attempt(() => enter(api, one.id)))}
                >
                  <span className="org-initial" aria-hidden="true">{[...one.name][0]}</span>
                  <span className="org-name">
                    {one.name}
                    <small>{one.role}</small>
                  </span>
                  {one.is_current && <span aria-hidden="true">✓</span>}
                </button>
              </li>
            ))}
          </ul>
          {naming ? (
            <form onSubmit={create} className="org-form">
              <label>
                {texts["frame.organization_name"]}
                <input name="name" className="input" required maxLength={200} autoFocus />
              </label>
              <button type="submit" className="button primary" disabled={busy}>
                {texts["frame.create"]}
              </button>
            </form>
          ) : (
            <button type="button" className="org-new" onClick={() => setNaming(true)}>
              <span aria-hidden="true">+</span> {texts["frame.new_organization"]}
            </button>
          )}
        </div>
      )}
    </div>
  );
}

// Opens the palette from the frame.
export function PaletteButton({ label, children }) {
  return (
    <button
      type="button"
      className="palette-button"
      aria-label={label}
      aria-keyshortcuts="Control+K Meta+K"
      onClick={() => window.dispatchEvent(new Event(PALETTE))}
    >
      {children}
    </button>
  );
}

function matches(entry, words) {
  const text = entry.label.toLocaleLowerCase();
  return words.every((word) => text.includes(word));
}

// `entries`: pages and actions {label, href, keys, permission}; `found`: {kind, label, detail, href}
// of the last search. Keys are typed one after the other, as in "g p".
export function CommandPalette({ entries, permissions, isOperator, found, texts, onSearch }) {
  const [open, setOpen] = useState("");
  const [text, setText] = useState("");
  const [active, setActive] = useState(0);
  const dialog = useRef(null);
  const pressed = useRef({ key: "", at: 0 });
  const navigate = useNavigate();
  const id = useId();

  const allowed = entries.filter((entry) =>
    entry.permission === "operator" ? isOperator : !entry.permission || permissions[entry.permission],
  );
  const words = text.toLocaleLowerCase().split(/\s+/).filter(Boolean);
  const kinds = {
    pipeline: texts["palette.pipeline"],
    connection: texts["palette.connection"],
    transformation: texts["palette.transformation"],
    table: texts["palette.table"],
  };
  const options = [
    ...allowed.filter((entry) => matches(entry, words)),
    ...(words.length ? found.map((row) => ({ ...row, tag: kinds[row.kind] })) : []),
  ];
  const latest = useRef({});
  latest.current = { allowed };

  useEffect(() => {
    const show = (what) => {
      setText("");
      setActive(0);
      setOpen(what);
    };
    const onKey = (event) => {
      if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") {
        event.preventDefault();
        show("palette");
        return;
      }
      if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest?.(TYPING)) return;
      if (event.key === "?") {
        show("shortcuts");
        return;
      }
      const now = Date.now();
      const before = now - pressed.current.at < 1200 ? `${pressed.current.key} ` : "";
      const typed = before + event.key;
      pressed.current = { key: event.key, at: now };
      const hit = latest.current.allowed.find((entry) => entry.keys === typed);
      if (hit) {
        event.preventDefault();
        navigate(hit.href);
      }
    };
    const onButton = () => show("palette");
    window.addEventListener("keydown", onKey);
    window.addEventListener(PALETTE, onButton);
    return () => {
      window.removeEventListener("keydown", onKey);
      window.removeEventListener(PALETTE, onButton);
    };
  }, [navigate]);

  // Before the browser tells of an earlier close: see onClose.
  useLayoutEffect(() => {
    const element = dialog.current;
    if (open && !element.open) element.showModal();
    if (!open && element.open) element.close();
  }, [open]);

  // Half a word is not worth a search.
  useEffect(() => {
    if (open !== "palette" || text.trim().length < 2) return undefined;
    const timer = setTimeout(() => onSearch?.(text.trim()), 160);
    return () => clearTimeout(timer);
  }, [text, open]);

  const go = (option) => {
    if (!option) return;
    setOpen("");
    navigate(option.href);
  };
  const onInputKey = (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step && options.length) {
      event.preventDefault();
      setActive((active + step + options.length) % options.length);
    } else if (event.key === "Enter") {
      event.preventDefault();
      go(options[active]);
    }
  };
  return (
    <dialog
      ref={dialog}
      className="dialog palette"
      aria-label={open === "shortcuts" ? texts["palette.shortcuts"] : texts["palette.title"]}
      onClose={() => setOpen((shown) => (dialog.current?.open ? shown : ""))}
      onMouseDown={(event) => event.target === dialog.current && setOpen("")}
    >
      {open === "palette" && (
        <>
          <input
            className="palette-input"
            role="combobox"
            aria-expanded="true"
            aria-controls={`${id}-list`}
            aria-activedescendant={options.length ? `${id}-${active}` : undefined}
            aria-label={texts["palette.title"]}
            placeholder={texts["palette.placeholder"]}
            value={text}
            autoFocus
            onChange={(event) => {
              setText(event.target.value);
              setActive(0);
            }}
            onKeyDown={onInputKey}
          />
          <ul id={`${id}-list`} role="listbox" aria-label={texts["palette.title"]}>
            {options.map((option, position) => (
              <li
                key={`${option.href} ${option.label}`}
                id={`${id}-${position}`}
                role="option"
                aria-selected={position === active}
                ref={(row) => position === active && row?.scrollIntoView({ block: "nearest" })}
                onMouseMove={() => setActive(position)}
                onClick={() => go(option)}
              >
                <span className="palette-label">
                  <bdi>{option.label}</bdi>
                  {option.detail && <small>{option.detail}</small>}
                </span>
                {option.tag && <span className="chip">{option.tag}</span>}
                {option.keys && <kbd>{option.keys}</kbd>}
              </li>
            ))}
          </ul>
          {!options.length && <p className="palette-none">{texts["palette.nothing"]}</p>}
        </>
      )}
      {open === "shortcuts" && (
        <>
          <div className="dialog-head">
            <h2>{texts["palette.shortcuts"]}</h2>
            <button
              type="button"
              className="icon-button"
              aria-label={texts["dialog.close"]}
              onClick={() => setOpen("")}
            >
              ✕
            </button>
          </div>
          <dl className="shortcuts">
            <div>
              <dt>{texts["palette.title"]}</dt>
              <dd><kbd>Ctrl</kbd> <kbd>K</kbd></dd>
            </div>
            {allowed.filter((entry) => entry.keys).map((entry) => (
              <div key={entry.keys}>
                <dt>{entry.label}</dt>
                <dd>{entry.keys.split(" ").map((key) => <kbd key={key}>{key}</kbd>)}</dd>
              </div>
            ))}
            <div>
              <dt>{texts["palette.shortcuts"]}</dt>
              <dd><kbd>?</kbd></dd>
            </div>
          </dl>
        </>
      )}
    </dialog>
  );
}

// The id under which the server knows the request for this page: of its answer, asked once more.
export function RequestId({ label }) {
  const [id, setId] = useState("");
  useEffect(() => {
    fetch(window.location.href, { method: "HEAD" })
      .then((answer) => setId(answer.headers.get("x-request-id") ?? ""))
      .catch(() => {});
  }, []);
  if (!id) return null;
  return (
    <p className="muted">
      {label} <code id="request-id" dir="ltr">{id}</code>
    </p>
  );
}

// Copies a text that is shown once.
export function CopyButton({ text, label, done }) {
  const [copied, setCopied] = useState(false);
  const copy = async () => {
    await navigator.clipboard?.writeText(text);
    setCopied(true);
    setTimeout(() => setCopied(false), 2000);
  };
  return (
    <button type="button" className="button" onClick={copy} aria-live="polite">
      {copied ? done : label}
    </button>
  );
}

// Asks the server something and loads a page anew afterwards: for what changes the session itself.
export function LoadAnew({ to }) {
  useEffect(() => {
    if (to) window.location.assign(to);
  }, [to]);
  return null;
}
