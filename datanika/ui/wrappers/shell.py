"""The frame's own pieces: menu on a phone, organisation switch, command palette, request id."""

from __future__ import annotations

from typing import Any

import reflex as rx

from datanika.ui.wrappers.island import ISLAND as ISLAND

_LIBRARY = str(rx.asset("shell.jsx", shared=True).importable_path)


def _text(value: rx.Var[str]) -> tuple[rx.Var[str]]:
    return (value,)


class MenuButton(rx.Component):
    """Opens the element with the id ``controls`` as a drawer."""

    library = _LIBRARY
    tag = "MenuButton"

    label: rx.Var[str]
    controls: rx.Var[str]


class OrganizationMenu(rx.Component):
    """``organizations``: dicts of ``id``, ``name``, ``role``, ``is_current``."""

    library = _LIBRARY
    tag = "OrganizationMenu"

    organizations: rx.Var[list[dict[str, Any]]]
    name: rx.Var[str]
    api: rx.Var[str]
    texts: rx.Var[dict[str, str]]


class PaletteButton(rx.Component):
    library = _LIBRARY
    tag = "PaletteButton"

    label: rx.Var[str]


class CommandPalette(rx.Component):
    """``entries``: dicts of ``label``, ``href``, and perhaps ``keys`` and ``permission``.
    ``on_search`` gets what was typed, and fills ``found``."""

    library = _LIBRARY
    tag = "CommandPalette"

    entries: rx.Var[list[dict[str, str]]]
    permissions: rx.Var[dict[str, bool]]
    is_operator: rx.Var[bool]
    found: rx.Var[list[dict[str, str]]]
    texts: rx.Var[dict[str, str]]
    on_search: rx.EventHandler[_text]


class RequestId(rx.Component):
    library = _LIBRARY
    tag = "RequestId"

    label: rx.Var[str]


class CopyButton(rx.Component):
    library = _LIBRARY
    tag = "CopyButton"

    text: rx.Var[str]
    label: rx.Var[str]
    done: rx.Var[str]


class LoadAnew(rx.Component):
    """Loads the page at ``to`` anew as soon as there is one."""

    library = _LIBRARY
    tag = "LoadAnew"

    to: rx.Var[str]
