"""The style sheets: tokens and frame, shared pieces, then an area of the application each."""

from __future__ import annotations

import reflex as rx

SHEETS = (
    "base", "pieces", "account", "catalog", "connections", "home", "pipelines", "runs", "settings",
    "transformations",
)  # fmt: skip
_ASSETS = [rx.asset(f"{name}.css", shared=True) for name in SHEETS]


def stylesheets() -> list[str]:
    """Import paths in the order of the cascade; without versions: they are bundled, not linked."""
    return [sheet.importable_path.removeprefix("$/public") for sheet in _ASSETS]
