"""Import of a dbt project through the REST API, and a key that saves a form."""

from __future__ import annotations

from typing import Any

import reflex as rx

from datanika.ui.wrappers.island import ISLAND as ISLAND

_LIBRARY = str(rx.asset("project_transfer.jsx", shared=True).importable_path)


class ProjectImport(rx.Component):
    """The inside of a dialog; ``on_done`` when something was imported."""

    library = _LIBRARY
    tag = "ProjectImport"

    api: rx.Var[str]
    destinations: rx.Var[list[dict[str, str]]]
    texts: rx.Var[dict[str, Any]]
    on_done: rx.EventHandler[rx.event.no_args_event_spec]


class SaveKeys(rx.Component):
    """Ctrl+S or ⌘S sends the form with the id ``form``."""

    library = _LIBRARY
    tag = "SaveKeys"

    form: rx.Var[str]
