"""Links inside the application: no page load."""

from __future__ import annotations

from typing import Any

import reflex as rx
from reflex_components_core.react_router.dom import ReactRouterLink


def link(*content: Any, to: Any, **props: Any) -> rx.Component:
    """A link to another page of the application."""
    return ReactRouterLink.create(*content, to=to, **props)
