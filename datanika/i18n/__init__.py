"""Translations: one JSON file a locale, with the same keys in each."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Final

LOCALES: Final = MappingProxyType(
    {
        "en": "English",
        "ru": "Русский",
        "el": "Ελληνικά",
        "de": "Deutsch",
        "fr": "Français",
        "es": "Español",
        "zh": "中文",
        "ar": "العربية",
        "sr": "Srpski",
    }
)
"""Each locale's name in its own language, in the order people see them."""

DEFAULT_LOCALE: Final = "en"
RIGHT_TO_LEFT: Final = frozenset({"ar"})


@cache
def load_translations(locale: str) -> dict[str, str]:
    """Key -> text; raises KeyError for a locale that does not exist. Treat it as read-only."""
    if locale not in LOCALES:
        raise KeyError(locale)
    text = files("datanika.i18n").joinpath(f"{locale}.json").read_text("utf-8")
    translations: dict[str, str] = json.loads(text)
    return translations


def direction(locale: str) -> str:
    """``rtl`` or ``ltr``."""
    return "rtl" if locale in RIGHT_TO_LEFT else "ltr"


def negotiate(accept_language: str) -> str:
    """The locale that an ``Accept-Language`` header asks for most (RFC 9110, section 12.5.4)."""
    wanted: list[tuple[float, int, str]] = []
    for position, item in enumerate(accept_language.split(",")):
        tag, _, parameters = item.strip().partition(";")
        weight = 1.0
        if parameters.strip().startswith("q="):
            try:
                weight = float(parameters.strip()[2:])
            except ValueError:
                continue
        wanted.append((-weight, position, tag.split("-")[0].lower()))
    for weight, _, language in sorted(wanted):
        if language in LOCALES and weight < 0:
            return language
    return DEFAULT_LOCALE
