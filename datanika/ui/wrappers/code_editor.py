"""CodeMirror for SQL and YAML, and its side-by-side comparison of two texts."""

from __future__ import annotations

from typing import Any

import reflex as rx

_LIBRARY = str(rx.asset("code_editor.jsx", shared=True).importable_path)
PACKAGES = [
    "@uiw/react-codemirror@4.25.12",
    "@codemirror/lang-sql@6.10.0",
    "@codemirror/lang-yaml@6.1.3",
    "@codemirror/autocomplete@6.20.4",
    "@codemirror/lint@6.9.8",
    "@codemirror/merge@6.12.3",
    "@codemirror/language@6.13.1",
    "@lezer/highlight@1.2.5",
]


def _text(value: rx.Var[str]) -> tuple[rx.Var[str]]:
    return (value,)


class CodeEditor(rx.Component):
    """Editor of ``value``; ``on_change`` gets the text half a second after the last key press.

    ``completions``: dicts of ``label``, ``type`` (a CodeMirror icon: ``class`` for relations,
    ``property`` for columns, ``function`` for macros), ``detail``, and of what stands in Jinja
    ``call`` (``ref('orders')``): the braces around it are put in where there are none.
    ``diagnostics``: dicts of ``line`` and ``column`` (from 1), ``message`` and ``severity``
    (``error``, ``warning``, ``info``). ``name`` makes it a field of the form around it.

    Another ``value`` is shown where nothing was typed; another ``key`` replaces what was.
    """

    library = _LIBRARY
    tag = "CodeEditor"
    lib_dependencies: list[str] = PACKAGES

    value: rx.Var[str]
    language: rx.Var[str]
    label: rx.Var[str]
    height: rx.Var[str]
    read_only: rx.Var[bool]
    name: rx.Var[str]
    completions: rx.Var[list[dict[str, Any]]]
    diagnostics: rx.Var[list[dict[str, Any]]]
    on_change: rx.EventHandler[_text]
    on_save: rx.EventHandler[_text]


class CodeDiff(rx.Component):
    """Two texts side by side, what differs marked."""

    library = _LIBRARY
    tag = "CodeDiff"
    lib_dependencies: list[str] = PACKAGES

    before: rx.Var[str]
    after: rx.Var[str]
    language: rx.Var[str]
    label: rx.Var[str]
