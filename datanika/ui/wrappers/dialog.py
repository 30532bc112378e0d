"""The browser's modal dialog, and toasts."""

from __future__ import annotations

import reflex as rx

_LIBRARY = str(rx.asset("dialog.jsx", shared=True).importable_path)


class Dialog(rx.Component):
    library = _LIBRARY
    tag = "Dialog"

    is_open: rx.Var[bool]
    label: rx.Var[str]
    close_label: rx.Var[str]
    wide: rx.Var[bool]
    on_close: rx.EventHandler[rx.event.no_args_event_spec]


class Toast(rx.Component):
    """Says ``text`` for some seconds each time ``number`` grows."""

    library = _LIBRARY
    tag = "Toast"

    text: rx.Var[str]
    number: rx.Var[int]
