"""Where one can go: the entries of the menu, in their order."""

from __future__ import annotations

import reflex as rx

from datanika.ui.components.link import link
from datanika.ui.state.i18n import I18nState

_t = I18nState.translations

ENTRIES = (
    (_t["nav.home"], "house", "/"),
    (_t["nav.pipelines"], "workflow", "/pipelines"),
    (_t["nav.runs"], "activity", "/runs"),
    (_t["nav.queue"], "hourglass", "/queue"),
    (_t["nav.connections"], "plug", "/connections"),
    (_t["nav.transformations"], "file-code-2", "/transformations"),
    (_t["nav.catalog"], "table-2", "/catalog"),
    (_t["nav.lineage"], "git-fork", "/lineage"),
    (_t["nav.settings"], "settings", "/settings"),
)
"""Text, icon, address."""


def navigation(active: str) -> rx.Component:
    """The menu; ``active`` is the address of the entry that the page belongs to."""
    return rx.el.nav(
        rx.el.ul(
            *(
                rx.el.li(
                    link(
                        rx.icon(icon, aria_hidden="true"),
                        text,
                        to=href,
                        **({"aria_current": "page"} if active == href else {}),
                    )
                )
                for text, icon, href in ENTRIES
            ),
            class_name="nav",
        ),
        aria_label=_t["nav.label"],
    )
