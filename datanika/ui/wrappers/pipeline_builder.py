"""The pipeline builder: React Flow, a panel of settings and YAML beside it."""

from __future__ import annotations

from typing import Any

import reflex as rx

from datanika.ui.wrappers.code_editor import PACKAGES
from datanika.ui.wrappers.island import ISLAND as ISLAND

_LIBRARY = str(rx.asset("pipeline_builder.jsx", shared=True).importable_path)
# What it imports has to lie beside it.
for _part in ("builder_graph", "builder_step", "builder_tables", "builder_table", "builder_fields"):
    rx.asset(f"{_part}.jsx", shared=True)


def _json(value: rx.Var[dict[str, Any]]) -> tuple[rx.Var[dict[str, Any]]]:
    return (value,)


def _text(value: rx.Var[str]) -> tuple[rx.Var[str]]:
    return (value,)


class PipelineBuilder(rx.Component):
    """``on_draft`` gets the whole specification after a change of the graph, ``on_yaml`` the text
    after a change of it. ``draft`` and ``yaml`` are taken over when their numbers change.

    ``api`` is where the API begins: tables are read from the source by its jobs.
    """

    library = _LIBRARY
    tag = "PipelineBuilder"
    lib_dependencies: list[str] = ["@xyflow/react@12.12.0", *PACKAGES]

    draft: rx.Var[dict[str, Any]]
    draft_number: rx.Var[int]
    yaml: rx.Var[str]
    yaml_number: rx.Var[int]
    problems: rx.Var[list[dict[str, Any]]]
    is_locked: rx.Var[bool]
    connections: rx.Var[list[dict[str, Any]]]
    texts: rx.Var[dict[str, str]]
    locale: rx.Var[str]
    api: rx.Var[str]
    read_only: rx.Var[bool]
    may_introspect: rx.Var[bool]
    on_draft: rx.EventHandler[_json]
    on_yaml: rx.EventHandler[_text]
