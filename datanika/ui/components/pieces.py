"""Badges, heads of pages, empty states."""

from __future__ import annotations

from typing import Any

import reflex as rx
from reflex_components_core.el.elements.base import BaseHTML


class PlainForm(BaseHTML):
    """A form that the browser itself posts. Reflex's own always hands it to a script."""

    tag = "form"

    action: rx.Var[str]
    method: rx.Var[str]


def badge(state: Any) -> rx.Component:
    """A run's or step's state. State values are technical names: not translated."""
    return rx.el.span(
        rx.el.span(class_name="dot", aria_hidden="true"),
        state,
        class_name=rx.Var.create("badge is-") + rx.Var.create(state).to(str),
    )


def page_head(title: Any, text: Any, *actions: rx.Component) -> rx.Component:
    return rx.el.div(
        rx.el.div(rx.el.h1(title), rx.el.p(text)),
        *actions,
        class_name="page-head",
    )


def empty(icon: str, title: Any, text: Any, *more: rx.Component) -> rx.Component:
    """What a page says while there is nothing to show: what belongs here and how it gets here."""
    return rx.el.div(
        rx.icon(icon, aria_hidden="true"),
        rx.el.h2(title),
        rx.el.p(text),
        *more,
        class_name="empty",
    )


def table(headers: list[tuple[Any, str]], body: rx.Component, label: Any) -> rx.Component:
    """``headers``: text and class of each column."""
    return rx.el.div(
        rx.el.table(
            rx.el.caption(label, class_name="visually-hidden"),
            rx.el.thead(
                rx.el.tr(
                    *(rx.el.th(text, scope="col", class_name=style) for text, style in headers)
                )
            ),
            rx.el.tbody(body),
        ),
        class_name="table-wrap",
        tab_index=0,
        role="region",
        aria_label=label,
    )
