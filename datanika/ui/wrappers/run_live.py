"""The live part of a run's page. It follows the run through the API's events by itself: neither the
log nor the steps are kept in the server's memory for a page that is open."""

from __future__ import annotations

from typing import Any

import reflex as rx

from datanika.ui.state.i18n import I18nState
from datanika.ui.wrappers.island import ISLAND as ISLAND
from datanika.ui.wrappers.values import VALUES as VALUES

_LIBRARY = str(rx.asset("run_live.jsx", shared=True).importable_path)
_PARTS = [
    rx.asset(name, shared=True)
    for name in (
        "run_stream.js", "graph_states.js", "run_graph.jsx", "run_log.jsx", "run_panel.jsx",
        "run_steps.jsx",
    )
]  # fmt: skip


def _state(value: rx.Var[str]) -> tuple[rx.Var[str]]:
    return (value,)


class RunLive(rx.Component):
    """``run`` is a :class:`datanika.ui.views.run.RunFacts`. ``on_change`` hears of a new state.

    ``log_after``: id of the line that the log begins after; ``log_skipped``: how many are before.
    """

    library = _LIBRARY
    tag = "RunLive"
    lib_dependencies: list[str] = ["@xyflow/react@12.12.0"]

    address: rx.Var[str]
    run: rx.Var[Any]
    log_after: rx.Var[int]
    log_skipped: rx.Var[int]
    locale: rx.Var[str]
    texts: rx.Var[dict[str, str]]
    on_change: rx.EventHandler[_state]


def run_live(**props: Any) -> rx.Component:
    return RunLive.create(locale=I18nState.locale, texts=I18nState.translations, **props)
