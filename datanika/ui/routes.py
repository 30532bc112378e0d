"""The pages of the application, an area each, and what loads when one is opened."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import reflex as rx


@dataclass(frozen=True)
class Page:
    """A page for members: ``build`` gives the component, ``load`` the event that fills it;
    None where it fills itself from the API.

    ``title`` is what the tab says; a product's technical names, not translated.
    """

    route: str
    build: Callable[[], rx.Component]
    title: str
    load: Any = None
