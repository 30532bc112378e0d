"""The whole lineage of the organisation."""

from __future__ import annotations

import reflex as rx

from datanika.ui.components.frame import api_path, frame
from datanika.ui.components.pieces import page_head
from datanika.ui.state.catalog_list_state import LineageState
from datanika.ui.state.i18n import I18nState
from datanika.ui.wrappers.lineage import LineageGraph

_t = I18nState.translations


def lineage_page() -> rx.Component:
    return frame(
        page_head(_t["lineage.title"], _t["lineage.text"]),
        rx.el.section(
            rx.cond(
                LineageState.is_loaded,
                LineageGraph.create(
                    api=api_path("/api/v1"),
                    connections=LineageState.connections,
                    texts=_t,
                    locale=I18nState.locale,
                ),
            ),
            class_name="card",
        ),
        active="/lineage",
    )
