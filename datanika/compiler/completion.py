"""What an editor may offer while somebody writes a transformation."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from datanika.compiler.jinja_guard import CROSS_DATABASE, FILTERS, FUNCTIONS
from datanika.compiler.packages import PACKAGES, packages_of
from datanika.compiler.properties import BUILT_IN_TESTS, RELATIONS
from datanika.contracts.api.projects import (
    CompletionMacro,
    CompletionOut,
    CompletionRelation,
    CompletionSource,
)
from datanika.contracts.spec import ColumnSpec, TransformationSpec

_HEAD = re.compile(r"\{%-?\s*macro\s+(\w+)\s*\(([^%]*)\)\s*-?%\}")

Known = Mapping[tuple[str, str], Sequence[str]]
"""(schema, table) -> columns, of what exists in the destination."""


def completion(transformations: Sequence[TransformationSpec], known: Known) -> CompletionOut:
    """Names of one destination, sorted."""
    by_table: dict[str, Sequence[str]] = {table: columns for (_, table), columns in known.items()}
    packages = packages_of(transformations)
    built = {item.alias or item.name for item in transformations if item.kind in RELATIONS}
    sources = {
        (schema, table): CompletionSource(source=schema, table=table, columns=tuple(columns))
        for (schema, table), columns in known.items()
        if table not in built
    }
    for item in transformations:
        for table in item.source.tables if item.source else ():
            assert item.source is not None
            schema = item.source.schema_name or item.source.source
            place = (schema, table.identifier or table.name)
            sources.pop(place, None)
            sources[(item.source.source, table.name)] = CompletionSource(
                source=item.source.source,
                table=table.name,
                columns=_columns(table.columns, known.get(place, ())),
            )
    own = [item for item in transformations if item.kind == "macro"]
    return CompletionOut(
        refs=tuple(
            CompletionRelation(
                name=item.name,
                kind=item.kind,
                columns=_columns(item.columns, by_table.get(item.alias or item.name, ())),
            )
            for item in sorted(transformations, key=lambda item: item.name)
            if item.kind in RELATIONS and item.enabled
        ),
        sources=tuple(sources[place] for place in sorted(sources)),
        macros=tuple(
            sorted(
                [
                    *(_macro(item.name, item.sql) for item in own if item.name[:5] != "test_"),
                    *(
                        _macro(f"{name}.{macro}", "".join(PACKAGES[name].files.values()))
                        for name in packages
                        for macro in PACKAGES[name].macros
                    ),
                    *(CompletionMacro(name=f"dbt.{name}") for name in CROSS_DATABASE),
                    *(CompletionMacro(name=name) for name in FUNCTIONS),
                ],
                key=lambda macro: macro.name,
            )
        ),
        tests=tuple(
            sorted(
                BUILT_IN_TESTS
                | {item.name.removeprefix("test_") for item in own if item.name[:5] == "test_"}
                | {f"{name}.{test}" for name in packages for test in PACKAGES[name].tests}
            )
        ),
        filters=tuple(sorted(FILTERS)),
        variables=tuple(
            sorted({name for item in transformations if item.project for name in item.project.vars})
        ),
    )


def _columns(described: Iterable[ColumnSpec], found: Sequence[str]) -> tuple[str, ...]:
    """Those that exist in their order, then those that are only described."""
    return tuple(dict.fromkeys([*found, *(column.name for column in described)]))


def _macro(name: str, text: str) -> CompletionMacro:
    for head in _HEAD.finditer(text):
        if head[1] == name.rpartition(".")[2]:
            return CompletionMacro(name=name, arguments=" ".join(head[2].split()))
    return CompletionMacro(name=name)
