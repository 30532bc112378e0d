"""Uploaded files, over the REST API: the browser sends them itself and knows how far it is."""

from __future__ import annotations

import reflex as rx

# Its grid and its way to the API are theirs.
from datanika.ui.wrappers import connection_browser, connection_form  # noqa: F401

_LIBRARY = str(rx.asset("file_manager.jsx", shared=True).importable_path)


def _done(what: rx.Var[str]) -> tuple[rx.Var[str]]:
    return (what,)


class FileManager(rx.Component):
    """``on_done`` gets ``uploaded`` or ``deleted``."""

    library = _LIBRARY
    tag = "FileManager"

    base: rx.Var[str]
    texts: rx.Var[dict[str, str]]
    locale: rx.Var[str]
    may_write: rx.Var[bool]
    may_preview: rx.Var[bool]
    may_delete: rx.Var[bool]
    on_done: rx.EventHandler[_done]
