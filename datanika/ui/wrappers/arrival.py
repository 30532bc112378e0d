"""A page is seen whole or not at all: neither as the page before it nor half loaded."""

from __future__ import annotations

import reflex as rx

_LIBRARY = str(rx.asset("arrival.jsx", shared=True).importable_path)


class WholeStates(rx.Component):
    """Around the application: what is in it sees the states of a page only when the page's events
    have run, and until then what it saw last. ``state`` and ``field`` say when that is."""

    library = _LIBRARY
    tag = "WholeStates"

    state: rx.Var[str]
    field: rx.Var[str]


class Arrival(rx.Component):
    """Around a page: tells the ``ArrivedPage`` in it whether the events of the address have run;
    they end with setting ``loaded_path``."""

    library = _LIBRARY
    tag = "Arrival"

    loaded_path: rx.Var[str]
    is_hydrated: rx.Var[bool]


class ArrivedPage(rx.Component):
    """Shows its children when their page is there; ``label`` is said until then."""

    library = _LIBRARY
    tag = "ArrivedPage"

    label: rx.Var[str]
