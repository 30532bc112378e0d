"""The buttons under a list that is read a page at a time."""

from __future__ import annotations

from typing import Any

import reflex as rx

from datanika.ui.components.forms import button
from datanika.ui.state.i18n import I18nState

_t = I18nState.translations
_BY_TIME = ("paging.newer", "paging.older")
_BY_NAME = ("paging.previous", "paging.next")


def pager(state: Any, *, by_time: bool = True) -> rx.Component:
    """Of a :class:`~datanika.ui.state.paged.Paged` state, whose list is in the order of time, or
    of names."""
    back, on = _BY_TIME if by_time else _BY_NAME
    return rx.cond(
        state.has_newer | state.has_older,
        rx.el.nav(
            button(_t[back], state.show_newer, disabled=~state.has_newer),
            button(_t[on], state.show_older, disabled=~state.has_older),
            aria_label=_t["paging.pages"],
            class_name="pager",
        ),
    )
