"""React Flow, reduced to what a run's graph needs."""

from __future__ import annotations

import reflex as rx

from datanika.ui import run_graph as layout


class RunGraph(rx.Component):
    """Draws a :class:`datanika.ui.run_graph.RunGraph`."""

    library = str(rx.asset("run_graph.jsx", shared=True).importable_path)
    tag = "RunGraph"
    lib_dependencies: list[str] = ["@xyflow/react@12.12.0"]

    graph: rx.Var[layout.RunGraph]
    locale: rx.Var[str]
    label: rx.Var[str]
    rows_label: rx.Var[str]


run_graph = RunGraph.create
