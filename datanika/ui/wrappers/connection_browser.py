"""What is in a connection, over the REST API's jobs."""

from __future__ import annotations

import reflex as rx

from datanika.ui.wrappers.code_editor import PACKAGES
from datanika.ui.wrappers.island import ISLAND as ISLAND

_LIBRARY = str(rx.asset("connection_browser.jsx", shared=True).importable_path)
rx.asset("result_grid.jsx", shared=True)


class _Island(rx.Component):
    library = _LIBRARY
    lib_dependencies: list[str] = PACKAGES

    base: rx.Var[str]
    texts: rx.Var[dict[str, str]]
    locale: rx.Var[str]
    connection_id: rx.Var[int]


class ConnectionBrowser(_Island):
    """Schemas, tables, columns; with ``may_preview`` the first rows of a table."""

    tag = "ConnectionBrowser"

    may_preview: rx.Var[bool]


class ConnectionQuery(_Island):
    """A statement that reads, and its rows."""

    tag = "ConnectionQuery"
