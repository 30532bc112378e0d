"""The catalog, and the lineage of what is in it."""

from __future__ import annotations

from datanika.ui.pages.catalog.catalog_list import catalog_page
from datanika.ui.pages.catalog.entry import entry_page
from datanika.ui.pages.catalog.lineage import lineage_page
from datanika.ui.routes import Page
from datanika.ui.state.catalog_entry_state import CatalogEntryState
from datanika.ui.state.catalog_list_state import CatalogListState, LineageState

PAGES = (
    Page("/catalog", catalog_page, "Catalog", CatalogListState.load_catalog),
    Page("/catalog/[entry_id]", entry_page, "Catalog", CatalogEntryState.load_entry),
    Page("/lineage", lineage_page, "Lineage", LineageState.load_lineage),
)
