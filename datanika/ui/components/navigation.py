"""Where one can go: the entries of the menu in their order, and what the command palette adds."""

from __future__ import annotations

from typing import Any

import reflex as rx

from datanika.ui.components.link import link
from datanika.ui.state.i18n import I18nState
from datanika.ui.state.session import SessionState

_t = I18nState.translations

ENTRIES = (
    (_t["nav.home"], "house", "/", "g h"),
    (_t["nav.pipelines"], "workflow", "/pipelines", "g p"),
    (_t["nav.runs"], "activity", "/runs", "g r"),
    (_t["nav.queue"], "hourglass", "/queue", "g q"),
    (_t["nav.connections"], "plug", "/connections", "g c"),
    (_t["nav.transformations"], "file-code-2", "/transformations", "g t"),
    (_t["nav.catalog"], "table-2", "/catalog", "g a"),
    (_t["nav.lineage"], "git-fork", "/lineage", "g l"),
    (_t["nav.settings"], "settings", "/settings", "g s"),
)
"""Text, icon, address, keys."""
OPERATORS = (_t["nav.operators"], "server-cog", "/operators", "g o")

_MORE: tuple[tuple[Any, str, str], ...] = (
    (_t["settings.members"], "/settings/members", "member:read"),
    (_t["settings.api_keys"], "/settings/api-keys", "api_key:read"),
    (_t["settings.notifications"], "/settings/notifications", "notification:read"),
    (_t["settings.audit"], "/settings/audit", "audit:read"),
    (_t["settings.account"], "/settings/account", ""),
    (_t["palette.new_pipeline"], "/pipelines/new", "pipeline:write"),
    (_t["palette.new_connection"], "/connections/new", "connection:write"),
    (_t["palette.new_transformation"], "/transformations", "transformation:write"),
    (_t["palette.invite"], "/settings/members?do=invite", "member:invite"),
    (_t["palette.new_api_key"], "/settings/api-keys?do=create", "api_key:write"),
)
"""Text, address and permission of what has no entry in the menu: more pages, then actions."""


def navigation(active: str) -> rx.Component:
    """The menu; ``active`` is the address of the entry that the page belongs to."""
    return rx.el.nav(
        rx.el.ul(
            *(_entry(*entry, active=active) for entry in ENTRIES),
            rx.cond(SessionState.is_operator, _entry(*OPERATORS, active=active)),
            class_name="nav",
        ),
        aria_label=_t["nav.label"],
    )


def palette_entries() -> list[dict[str, Any]]:
    """Pages and actions of the command palette; it shows those that the user may."""
    text, _, href, keys = OPERATORS
    return [
        *({"label": text, "href": href, "keys": keys} for text, _, href, keys in ENTRIES),
        {"label": text, "href": href, "keys": keys, "permission": "operator"},
        *({"label": text, "href": href, "permission": may} for text, href, may in _MORE),
    ]


def _entry(text: Any, icon: str, href: str, keys: str, *, active: str) -> rx.Component:
    return rx.el.li(
        link(
            rx.icon(icon, aria_hidden="true"),
            text,
            to=href,
            aria_keyshortcuts=keys,
            **({"aria_current": "page"} if active == href else {}),
        )
    )
