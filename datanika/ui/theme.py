"""What every page loads beside its styles: the icon, and the language before the first paint."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import reflex as rx
from reflex.app import default_error_boundary

_ICON = rx.asset("icon.svg", shared=True)
_LANGUAGE = rx.asset("language.js", shared=True)


def head_components() -> list[rx.Component]:
    return [
        # Not deferred: a right-to-left page must not be drawn left-to-right first.
        rx.el.script(src=str(_LANGUAGE)),
        rx.el.link(rel="icon", type="image/svg+xml", href=str(_ICON)),
    ]


def app_wraps() -> dict[tuple[int, str], Callable[[bool], Any]]:
    """Reflex's defaults but for its connection toasts: the frame says it in the user's language."""
    return {(55, "ErrorBoundary"): lambda stateful: default_error_boundary()}
