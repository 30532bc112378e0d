"""Uploaded files, for connections of the kinds ``files`` and ``sqlite``."""

from __future__ import annotations

import reflex as rx

from datanika.ui.components.frame import api_path, frame
from datanika.ui.components.link import link
from datanika.ui.components.permitted import may
from datanika.ui.components.pieces import page_head
from datanika.ui.state.connection_page_state import ConnectionPageState
from datanika.ui.state.i18n import I18nState
from datanika.ui.wrappers.file_manager import FileManager

_t = I18nState.translations


def files_page() -> rx.Component:
    return frame(
        link(_t["connections.title"], to="/connections", class_name="crumb"),
        page_head(
            _t["files.title"],
            _t["files.text"],
            rx.cond(
                may("connection:write"),
                link(
                    rx.icon("plug", aria_hidden="true"),
                    _t["files.connect"],
                    to="/connections/new?kind=files",
                    class_name="button",
                ),
            ),
        ),
        FileManager.create(
            base=api_path("/api/v1"),
            texts=_t,
            locale=I18nState.locale,
            may_write=may("file:write"),
            may_preview=may("file:preview"),
            may_delete=may("file:delete"),
            on_done=ConnectionPageState.file_done,
        ),
        active="/connections",
    )
