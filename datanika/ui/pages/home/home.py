"""Health, the last day, failures, lateness, trends and quotas; for beginners what to do first."""

from __future__ import annotations

import reflex as rx

from datanika.ui.components.frame import api_path, frame
from datanika.ui.components.pieces import page_head
from datanika.ui.state.i18n import I18nState
from datanika.ui.wrappers.home import OVERVIEW, home

_t = I18nState.translations


def home_page() -> rx.Component:
    return rx.fragment(
        # Asked for while the scripts still load: this is the first page of most days.
        rx.el.link(
            rel="preload",
            href=api_path(OVERVIEW),
            cross_origin="use-credentials",
            custom_attrs={"as": "fetch"},
        ),
        frame(page_head(_t["nav.home"], _t["home.text"]), home(), active="/"),
    )
