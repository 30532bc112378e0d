"""Catalog."""

from __future__ import annotations

from datanika.ui.routes import Page

PAGES: tuple[Page, ...] = ()
