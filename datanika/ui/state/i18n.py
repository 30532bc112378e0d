"""The language of the page."""

from __future__ import annotations

import reflex as rx

from datanika.i18n import DEFAULT_LOCALE, LOCALES, direction, load_translations, negotiate
from datanika.ui.session import cookie

LOCALE_COOKIE = "datanika_locale"
"""Written by the browser (``wrappers/page_language.jsx``); no secret."""


class I18nState(rx.State):
    locale: str = DEFAULT_LOCALE
    chosen: bool = False

    @rx.var
    def translations(self) -> dict[str, str]:
        """Key -> text in the page's language. Used as ``_t = I18nState.translations``."""
        return load_translations(self.locale)

    @rx.var
    def direction(self) -> str:
        """``rtl`` or ``ltr``."""
        return direction(self.locale)

    @rx.event
    def load_locale(self) -> None:
        """The language chosen in this browser before, else the one it asks for."""
        headers = self.router_data.get("headers", {})
        chosen = cookie(headers, LOCALE_COOKIE)
        asked = negotiate(headers.get("accept-language", ""))
        # A choice made since the websocket opened is only in the state.
        if not self.chosen:
            self.locale = chosen if chosen is not None and chosen in LOCALES else asked

    @rx.event
    def set_locale(self, locale: str) -> None:
        """Switch the page's language."""
        if locale in LOCALES:
            self.locale = locale
            self.chosen = True
