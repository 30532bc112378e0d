"""Dialogs over the page, and the question before what cannot be taken back."""

from __future__ import annotations

from typing import Any

import reflex as rx

from datanika.ui.components.forms import button
from datanika.ui.state.i18n import I18nState
from datanika.ui.wrappers.dialog import Dialog

_t = I18nState.translations


def dialog(
    *content: rx.Component, is_open: Any, title: Any, on_close: Any, wide: bool = False
) -> rx.Component:
    """The browser's own modal dialog: it keeps the focus, and Escape closes it.

    ``content`` is drawn only while ``is_open``. ``on_close`` runs when the user closes it.
    """
    return Dialog.create(
        rx.cond(is_open, rx.el.div(*content)),
        is_open=is_open,
        label=title,
        close_label=_t["dialog.close"],
        wide=wide,
        on_close=on_close,
    )


def confirm(
    *, is_open: Any, title: Any, text: Any, action: Any, on_confirm: Any, on_close: Any
) -> rx.Component:
    """Asks before something destructive. ``action`` is the button's verb, ``text`` says what
    happens and whether it can be undone."""
    return dialog(
        rx.el.div(rx.el.p(text), class_name="dialog-body"),
        rx.el.div(
            button(_t["dialog.cancel"], on_close),
            button(action, on_confirm, style="danger"),
            class_name="dialog-foot",
        ),
        is_open=is_open,
        title=title,
        on_close=on_close,
    )
