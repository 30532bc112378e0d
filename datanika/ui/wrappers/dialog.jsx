// The browser's own modal dialog, opened and closed by a property; and toasts.
import { useEffect, useId, useRef, useState } from "react";

export function Dialog({ isOpen, label, closeLabel, wide, onClose, children }) {
  const element = useRef(null);
  const title = useId();
  useEffect(() => {
    const dialog = element.current;
    if (isOpen && !dialog.open) dialog.showModal();
    if (!isOpen && dialog.open) dialog.close();
  }, [isOpen]);
  const cancel = (event) => {
    event.preventDefault();
    onClose?.();
  };
  return (
    <dialog
      ref={element}
      className={wide ? "dialog wide" : "dialog"}
      aria-labelledby={title}
      onCancel={cancel}
      onMouseDown={(event) => event.target === element.current && onClose?.()}
    >
      <div className="dialog-head">
        <h2 id={title}>{label}</h2>
        <button type="button" className="icon-button" aria-label={closeLabel} onClick={() => onClose?.()}>
          ✕
        </button>
      </div>
      {children}
    </dialog>
  );
}

const SHOWN_MS = 5000;
// Of the tab, not of a page: what a handler says before it leads to another page is said there, too.
const latest = { number: null, text: "", until: 0 };

export function Toast({ text, number }) {
  const [shown, setShown] = useState("");
  useEffect(() => {
    const isNew = latest.number !== null && number > latest.number;
    latest.number = number;
    if (isNew) Object.assign(latest, { text, until: Date.now() + SHOWN_MS });
    const left = latest.until - Date.now();
    if (left <= 0) return undefined;
    setShown(latest.text);
    const timer = setTimeout(() => setShown(""), left);
    return () => clearTimeout(timer);
  }, [number, text]);
  return (
    <div className="toasts" role="status" aria-live="polite">
      {shown && <div className="toast">{shown}</div>}
    </div>
  );
}
