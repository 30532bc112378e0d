"""Times, numbers and durations in the browser's zone and the page's language."""

from __future__ import annotations

from typing import Any

import reflex as rx

from datanika.ui.state.i18n import I18nState
from datanika.ui.wrappers.island import ISLAND as ISLAND

VALUES = _LIBRARY = str(rx.asset("values.jsx", shared=True).importable_path)


class LocalTime(rx.Component):
    library = _LIBRARY
    tag = "LocalTime"

    value: rx.Var[str | None]
    locale: rx.Var[str]
    with_date: rx.Var[bool]


class LocalNumber(rx.Component):
    library = _LIBRARY
    tag = "LocalNumber"

    value: rx.Var[int | None]
    locale: rx.Var[str]


class ByteSize(rx.Component):
    library = _LIBRARY
    tag = "ByteSize"

    value: rx.Var[int | None]
    locale: rx.Var[str]


class Duration(rx.Component):
    library = _LIBRARY
    tag = "Duration"

    start: rx.Var[str | None]
    end: rx.Var[str | None]
    seconds: rx.Var[float | None]
    locale: rx.Var[str]


def local_time(value: Any, with_date: bool = True) -> rx.Component:
    """``value``: ISO 8601 with its zone, or None."""
    return LocalTime.create(value=value, with_date=with_date, locale=I18nState.locale)


def number(value: Any) -> rx.Component:
    """``value``: an integer or None."""
    return LocalNumber.create(value=value, locale=I18nState.locale)


def byte_size(value: Any) -> rx.Component:
    """``value``: bytes or None; shown in the unit that fits (MB are 10^6)."""
    return ByteSize.create(value=value, locale=I18nState.locale)


def duration(start: Any = None, end: Any = None, seconds: Any = None) -> rx.Component:
    """From ``start`` to ``end`` (ISO 8601), or ``seconds``; ticks while there is no end."""
    props = {"start": start, "end": end, "seconds": seconds}
    given = {name: value for name, value in props.items() if value is not None}
    return Duration.create(**given, locale=I18nState.locale)
