// CodeMirror for SQL and YAML. Colours come from the style sheet's tokens, so both themes work.
import { useCallback, useEffect, useMemo, useRef } from "react";
import CodeMirror, { EditorView } from "@uiw/react-codemirror";
import { autocompletion } from "@codemirror/autocomplete";
import { HighlightStyle, syntaxHighlighting } from "@codemirror/language";
import { PostgreSQL, sql } from "@codemirror/lang-sql";
import { yaml } from "@codemirror/lang-yaml";
import { lintGutter, setDiagnostics } from "@codemirror/lint";
import { unifiedMergeView } from "@codemirror/merge";
import { tags } from "@lezer/highlight";
import { ARRIVED } from "$/public/external/datanika/ui/wrappers/arrival/arrival.jsx";

const PAUSE_MS = 500;
const colours = syntaxHighlighting(
  HighlightStyle.define([
    { tag: tags.keyword, color: "var(--run)", fontWeight: "600" },
    { tag: [tags.string, tags.special(tags.string)], color: "var(--ok)" },
    { tag: [tags.number, tags.bool, tags.null], color: "var(--warn)" },
    { tag: tags.comment, color: "var(--muted)", fontStyle: "italic" },
    { tag: [tags.propertyName, tags.definition(tags.propertyName)], color: "var(--brand)" },
  ]),
);
const languages = {
  sql: () => sql({ dialect: PostgreSQL, upperCaseKeywords: false }),
  yaml: () => yaml(),
};
const language = (name) => (languages[name] ?? languages.sql)();

// A relation or macro stands in Jinja: only what is missing of that is put in. `call` is the whole.
const insertCall = ({ call, label }) => (view, _completion, from, to) => {
  const { doc } = view.state;
  const before = doc.sliceString(Math.max(0, from - 300), from);
  const quoted = /\b(ref|source)\s*\(\s*(['"])$/.exec(before);
  const isInside = Math.max(before.lastIndexOf("{{"), before.lastIndexOf("{%")) >
    Math.max(before.lastIndexOf("}}"), before.lastIndexOf("%}"));
  let insert = isInside ? call : `{{ ${call} }}`;
  if (quoted) insert = label.split(".").join(`${quoted[2]}, ${quoted[2]}`);
  view.dispatch({ changes: { from, to, insert }, selection: { anchor: from + insert.length } });
};
const offer = (list) => {
  const options = list.map((one) => (one.call ? { ...one, apply: insertCall(one) } : one));
  return (context) => {
    const word = context.matchBefore(/\w+/);
    if (!word && !context.explicit && !context.matchBefore(/\b(ref|source)\s*\(\s*['"]/)) return null;
    return { from: word ? word.from : context.pos, options, validFor: /^\w*$/ };
  };
};

// A text that cannot be edited is reached by the keyboard, too: it may have to be scrolled.
const named = (label) => EditorView.contentAttributes.of({ "aria-label": label, tabindex: "0" });

// Where a message stands; positions of another text than the present one are kept inside it.
const position = (doc, { line, column }) => {
  const at = doc.line(Math.min(Math.max(line ?? 1, 1), doc.lines));
  return { at, from: Math.min(at.from + Math.max((column ?? 1) - 1, 0), at.to) };
};

const shown = (doc, diagnostics) =>
  diagnostics.map((one) => {
    const { at, from } = position(doc, one);
    return { from, to: Math.max(from, at.to), severity: one.severity ?? "error", message: one.message };
  });

export function CodeEditor({
  value, language: kind, label, height, readOnly, name, completions, diagnostics, onChange, onSave,
}) {
  const view = useRef(null);
  const text = useRef(value ?? "");
  const given = useRef(text.current);
  // A text that comes from outside never replaces what was typed: for that, the key changes.
  const drawn = useRef(text.current);
  if (given.current !== (value ?? "")) {
    if (text.current === given.current) text.current = drawn.current = value ?? "";
    given.current = value ?? "";
  }
  const field = useRef(null);
  const timer = useRef(null);
  const events = useRef({ onChange, onSave });
  events.current = { onChange, onSave };

  const extensions = useMemo(() => {
    const list = [language(kind), colours, EditorView.lineWrapping, lintGutter(), named(label)];
    if (completions?.length)
      list.push(autocompletion({ override: [offer(completions)] }));
    return list;
  }, [kind, label, completions]);

  const say = useCallback(() => {
    clearTimeout(timer.current);
    timer.current = null;
    events.current.onChange?.(text.current);
  }, []);
  const change = useCallback(
    (next) => {
      text.current = next;
      if (field.current) field.current.value = next;
      clearTimeout(timer.current);
      timer.current = setTimeout(say, PAUSE_MS);
    },
    [say],
  );
  useEffect(() => () => clearTimeout(timer.current), []);
  useEffect(() => {
    // A tab that was connected anew may have another state behind it, which knows what is saved.
    const tell = () => text.current !== given.current && say();
    window.addEventListener(ARRIVED, tell);
    return () => window.removeEventListener(ARRIVED, tell);
  }, [say]);
  useEffect(() => {
    if (view.current)
      view.current.dispatch(setDiagnostics(view.current.state, shown(view.current.state.doc, diagnostics ?? [])));
  }, [diagnostics]);

  const keys = (event) => {
    if ((event.ctrlKey || event.metaKey) && event.key === "s") {
      event.preventDefault();
      if (timer.current) say();
      events.current.onSave?.(text.current);
    }
  };
  return (
    <div className="code-editor" onKeyDown={keys}>
      <CodeMirror
        value={drawn.current}
        height={height ?? "320px"}
        theme="none"
        readOnly={readOnly}
        editable={!readOnly}
        extensions={extensions}
        onChange={change}
        onBlur={() => timer.current && say()}
        onCreateEditor={(created) => {
          view.current = created;
          created.dispatch(setDiagnostics(created.state, shown(created.state.doc, diagnostics ?? [])));
        }}
        basicSetup={{ autocompletion: false, foldGutter: false, searchKeymap: true }}
      />
      {/* A hidden input's default is its value: React sets it anew whenever it draws. */}
      {name && <input type="hidden" name={name} ref={field} defaultValue={text.current} />}
    </div>
  );
}

export function CodeDiff({ before, after, language: kind, label }) {
  const extensions = useMemo(
    () => [
      language(kind), colours, EditorView.lineWrapping, named(label),
      unifiedMergeView({ original: before ?? "", mergeControls: false, collapseUnchanged: {} }),
    ],
    [kind, label, before],
  );
  return (
    <div className="code-editor">
      <CodeMirror
        key={before}
        value={after ?? ""}
        theme="none"
        readOnly
        editable={false}
        extensions={extensions}
        basicSetup={{ foldGutter: false }}
      />
    </div>
  );
}
