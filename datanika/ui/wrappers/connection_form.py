"""Making, changing and testing a connection, over the REST API."""

from __future__ import annotations

import reflex as rx

from datanika.ui.wrappers.island import ISLAND as ISLAND

_LIBRARY = str(rx.asset("connection_form.jsx", shared=True).importable_path)
rx.asset("connection_fields.jsx", shared=True)


def _saved(connection_id: rx.Var[int]) -> tuple[rx.Var[int]]:
    return (connection_id,)


class _Island(rx.Component):
    """``base`` is where ``/api/v1`` is, ``texts`` the translations, ``labels`` the keys of the
    kinds' own words."""

    library = _LIBRARY

    base: rx.Var[str]
    texts: rx.Var[dict[str, str]]


class ConnectionNew(_Island):
    """The gallery of kinds, then the form of the one chosen (``?kind=``)."""

    tag = "ConnectionNew"

    labels: rx.Var[dict[str, str]]
    on_saved: rx.EventHandler[_saved]


class ConnectionEdit(_Island):
    """The form of a saved connection; with ``rotate`` only its secrets."""

    tag = "ConnectionEdit"

    labels: rx.Var[dict[str, str]]
    connection_id: rx.Var[int]
    rotate: rx.Var[bool]
    on_saved: rx.EventHandler[_saved]


class ConnectionTest(_Island):
    """A button that tries the saved connection; ``on_done`` runs after it."""

    tag = "ConnectionTest"

    connection_id: rx.Var[int]
    on_done: rx.EventHandler[rx.event.no_args_event_spec]
