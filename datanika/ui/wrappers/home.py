"""The first page. It asks the API itself: a busy day is much data, and none of it stays in the
server's memory."""

from __future__ import annotations

import reflex as rx

from datanika.ui.components.frame import api_path
from datanika.ui.state.i18n import I18nState
from datanika.ui.wrappers.island import ISLAND as ISLAND

_LIBRARY = str(rx.asset("home.jsx", shared=True).importable_path)
_TIMELINE = rx.asset("timeline.jsx", shared=True)
_TRENDS = rx.asset("trends.jsx", shared=True)


OVERVIEW = "/api/v1/overview"


class Home(rx.Component):
    library = _LIBRARY
    tag = "Home"

    address: rx.Var[str]
    locale: rx.Var[str]
    texts: rx.Var[dict[str, str]]


def home() -> rx.Component:
    """Everything under the page's head."""
    return Home.create(
        address=api_path(OVERVIEW),
        locale=I18nState.locale,
        texts=I18nState.translations,
    )
