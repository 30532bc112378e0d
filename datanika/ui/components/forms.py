"""Labels, inputs and the rest of a form. The browser keeps what is typed until it is sent.

A form is ``rx.el.form(..., on_submit=State.handler, reset_on_submit=False)``: the handler gets a
dict of the fields' ``name`` -> text. Inputs are not controlled: no roundtrip a key press.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import reflex as rx


def field(
    label: Any, control: rx.Component, *, name: str, help: Any = None, error: Any = None
) -> rx.Component:
    """A label over ``control``, whose id is ``name``. ``error`` is a text, or empty."""
    return rx.el.div(
        rx.el.label(label, html_for=name),
        control,
        *([rx.el.span(help, class_name="help", id=f"{name}-help")] if help is not None else []),
        *(
            [rx.cond(error != "", rx.el.span(error, class_name="wrong", role="alert"))]
            if error is not None
            else []
        ),
        class_name="field",
    )


def text_field(
    label: Any, name: str, *, help: Any = None, error: Any = None, **props: Any
) -> rx.Component:
    """One line of text; ``props`` go to the input (``type``, ``required``, ``default_value``…)."""
    if help is not None:
        props["aria_describedby"] = f"{name}-help"
    return field(label, rx.el.input(id=name, name=name, **props), name=name, help=help, error=error)


def select_field(
    label: Any,
    name: str,
    options: Iterable[tuple[str, Any]] | rx.Component,
    *,
    help: Any = None,
    **props: Any,
) -> rx.Component:
    """``options``: pairs of value and text, or an ``rx.foreach`` of ``rx.el.option``."""
    if not isinstance(options, rx.Component):
        listed = [rx.el.option(text, value=value) for value, text in options]
    else:
        listed = [options]
    return field(label, rx.el.select(*listed, id=name, name=name, **props), name=name, help=help)


def check_field(label: Any, name: str, *, help: Any = None, **props: Any) -> rx.Component:
    """A box to tick, its label beside it."""
    return rx.el.div(
        rx.el.label(
            rx.el.input(type="checkbox", id=name, name=name, **props),
            rx.el.span(label),
            class_name="check",
        ),
        *([rx.el.span(help, class_name="help")] if help is not None else []),
        class_name="field",
    )


def submit(text: Any, **props: Any) -> rx.Component:
    """The button that sends the form."""
    return rx.el.button(text, type="submit", class_name="button primary", **props)


def button(
    text: Any, on_click: Any, *, icon: str = "", style: str = "", **props: Any
) -> rx.Component:
    """``style``: ``primary``, ``danger`` or nothing."""
    return rx.el.button(
        *([rx.icon(icon, aria_hidden="true")] if icon else []),
        text,
        on_click=on_click,
        type="button",
        class_name=f"button {style}".strip(),
        **props,
    )
