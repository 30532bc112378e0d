"""The first page: how the organisation's pipelines are."""

from __future__ import annotations

from datanika.ui.pages.home.home import home_page
from datanika.ui.routes import Page

PAGES = (Page("/", home_page, "Home"),)
