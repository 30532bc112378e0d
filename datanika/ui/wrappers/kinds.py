"""The sign of a kind of connection."""

from __future__ import annotations

from typing import Any

import reflex as rx

_LIBRARY = str(rx.asset("kinds.jsx", shared=True).importable_path)


class KindIcon(rx.Component):
    """Decoration: the kind's title stands beside it."""

    library = _LIBRARY
    tag = "KindIcon"

    kind: rx.Var[str]
    large: rx.Var[bool]


def kind_icon(kind: Any, *, large: bool = False) -> rx.Component:
    """``kind``: a connector kind, such as ``postgres``."""
    return KindIcon.create(kind=kind, large=large)
