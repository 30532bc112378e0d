"""The lineage graph: a canvas that reads the REST API by itself."""

from __future__ import annotations

from typing import Any

import reflex as rx

from datanika.ui.wrappers.island import ISLAND as ISLAND

for _part in (
    "lineage_layout.js", "lineage_paint.js", "lineage_data.js", "lineage_canvas.jsx",
):  # fmt: skip
    rx.asset(_part, shared=True)


def _text(value: rx.Var[str]) -> tuple[rx.Var[str]]:
    return (value,)


class LineageGraph(rx.Component):
    """All tables of the organisation, or with ``entry_id`` those around one catalog entry.

    ``api``: where the API is (``/api/v1``). ``column`` of the entry is the one whose way is shown;
    ``on_column`` is told which one the user chose, or an empty text. ``connections``: id -> name.
    """

    library = str(rx.asset("lineage_graph.jsx", shared=True).importable_path)
    tag = "LineageGraph"

    api: rx.Var[str]
    entry_id: rx.Var[int]
    column: rx.Var[str]
    connections: rx.Var[dict[str, str]]
    texts: rx.Var[dict[str, Any]]
    locale: rx.Var[str]
    on_column: rx.EventHandler[_text]
