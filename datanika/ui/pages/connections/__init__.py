"""Connections, and the files that people upload."""

from __future__ import annotations

from datanika.ui.pages.connections.connection import connection_page
from datanika.ui.pages.connections.connection_list import connections_page
from datanika.ui.pages.connections.connection_new import connection_new_page
from datanika.ui.pages.connections.files import files_page
from datanika.ui.routes import Page
from datanika.ui.state.connection_list_state import ConnectionListState
from datanika.ui.state.connection_page_state import ConnectionPageState

PAGES: tuple[Page, ...] = (
    Page("/connections", connections_page, "Connections", ConnectionListState.load_connections),
    Page(
        "/connections/new",
        connection_new_page,
        "New connection",
        ConnectionPageState.load_form,
    ),
    Page("/connections/files", files_page, "Files", ConnectionPageState.load_form),
    Page(
        "/connections/[connection_id]",
        connection_page,
        "Connection",
        ConnectionPageState.load_connection,
    ),
)
