"""What every page loads beside its styles: the icon, and the language before the first paint."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import reflex as rx
from reflex_components_core.base.error_boundary import ErrorBoundary

from datanika.ui.wrappers.arrival import WholeStates
from datanika.ui.wrappers.crash import crash_box

_ICON = rx.asset("icon.svg", shared=True)
_LANGUAGE = rx.asset("language.js", shared=True)


def head_components() -> list[rx.Component]:
    return [
        # Not deferred: a right-to-left page must not be drawn left-to-right first.
        rx.el.script(src=str(_LANGUAGE)),
        rx.el.link(rel="icon", type="image/svg+xml", href=str(_ICON)),
    ]


def app_wraps() -> dict[tuple[int, str], Callable[[bool], Any]]:
    """In place of Reflex's own: the box over a page that failed speaks the user's language, and so
    does the frame of lost connections, which needs no toasts."""
    state, field = str(rx.State.is_hydrated).rsplit(".", 1)
    return {
        (55, "ErrorBoundary"): lambda stateful: ErrorBoundary.create(fallback_render=_crash()),
        (54, "WholeStates"): lambda stateful: WholeStates.create(state=state, field=field),
    }


def _crash() -> rx.Var[Any]:
    return rx.Var.create(crash_box())
