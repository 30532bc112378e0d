"""A new connection: choose a kind, fill its form, try it, keep it."""

from __future__ import annotations

import reflex as rx

from datanika.ui.components.frame import api_path, frame
from datanika.ui.components.link import link
from datanika.ui.components.permitted import may
from datanika.ui.components.pieces import page_head
from datanika.ui.connection_labels import LABELS
from datanika.ui.state.connection_page_state import ConnectionPageState
from datanika.ui.state.i18n import I18nState
from datanika.ui.wrappers.connection_form import ConnectionNew

_t = I18nState.translations


def connection_new_page() -> rx.Component:
    return frame(
        link(_t["connections.title"], to="/connections", class_name="crumb"),
        page_head(
            _t["connections.new"],
            _t["connection.new_text"],
        ),
        rx.cond(
            may("connection:write"),
            ConnectionNew.create(
                base=api_path("/api/v1"),
                texts=_t,
                labels=LABELS,
                on_saved=ConnectionPageState.created,
            ),
            rx.el.p(_t["error.permission_denied"], class_name="notice"),
        ),
        active="/connections",
    )
