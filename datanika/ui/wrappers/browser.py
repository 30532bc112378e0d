"""Language of the document, and logout."""

from __future__ import annotations

import reflex as rx

_LIBRARY = str(rx.asset("browser.jsx", shared=True).importable_path)


class PageLanguage(rx.Component):
    library = _LIBRARY
    tag = "PageLanguage"

    locale: rx.Var[str]
    direction: rx.Var[str]
    chosen: rx.Var[bool]


class LogoutButton(rx.Component):
    library = _LIBRARY
    tag = "LogoutButton"

    action: rx.Var[str]
    to: rx.Var[str]
