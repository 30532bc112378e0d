"""The box in place of a page whose scripts failed."""

from __future__ import annotations

import reflex as rx

from datanika.i18n import LOCALES, load_translations

_TEXTS = ("crash.title", "crash.text", "crash.reload", "crash.details", "missing.home")


class Crash(rx.Component):
    """``texts``: locale -> key -> text; ``error``: what a developer wants to know."""

    library = str(rx.asset("crash.jsx", shared=True).importable_path)
    tag = "Crash"

    texts: rx.Var[dict[str, dict[str, str]]]
    error: rx.Var[str]


def crash_box() -> rx.Component:
    """For the error boundary's ``fallback_render``, where ``event_args.error`` is what was thrown.

    The texts are compiled in: the page's state may be what is broken."""
    chosen = {locale: {key: load_translations(locale)[key] for key in _TEXTS} for locale in LOCALES}
    return Crash.create(
        texts=chosen,
        error=rx.Var(
            "`${event_args.error?.name}: ${event_args.error?.message}\\n${event_args.error?.stack}`"
        ).to(str),
    )
