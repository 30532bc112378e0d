"""The transformations of one destination: guarded, resolved against each other, in order."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files

from datanika.compiler.graph import find_cycle, stages
from datanika.compiler.jinja_guard import CROSS_DATABASE, FUNCTIONS, VARIABLES, check_template
from datanika.compiler.packages import PACKAGES, packages_of
from datanika.compiler.properties import check_properties, check_ref
from datanika.compiler.references import (
    References,
    defined_macros,
    read_references,
    references_of,
)
from datanika.contracts.plan import ModelNode, leave_out_dbt_defaults
from datanika.contracts.spec import TransformationSpec
from datanika.errors import SpecError

_OF_DBT = frozenset(files(__package__).joinpath("dbt_macros.txt").read_text("utf-8").split())
"""Every macro of dbt and its adapters: one of a tenant's with such a name would take its place."""
_DISPATCHED = re.compile(
    r"(default|postgres|duckdb|redshift|snowflake|bigquery|databricks|spark|clickhouse|sqlserver"
    r"|fabric)__"
)
"""An adapter's own version of a macro; dbt looks for these in the project first."""
_RESERVED_MACROS = (
    _OF_DBT
    | FUNCTIONS
    | VARIABLES
    | CROSS_DATABASE
    | {"generate_schema_name", "generate_alias_name", "generate_database_name", "dbt"}
    | PACKAGES.keys()
)


def transformations_of(
    destination_id: int, transformations: Iterable[TransformationSpec]
) -> tuple[TransformationSpec, ...]:
    """Those of one destination, by name: together they are one dbt project."""
    return tuple(
        sorted(
            (item for item in transformations if item.destination_id == destination_id),
            key=lambda item: item.name,
        )
    )


def compile_models(transformations: Sequence[TransformationSpec]) -> tuple[ModelNode, ...]:
    """Nodes in build order. Raises :class:`SpecError` and :class:`GuardRefused` naming the one."""
    by_name: dict[str, TransformationSpec] = {}
    for item in transformations:
        if item.name in by_name:
            raise SpecError(
                f"Two transformations are called {item.name!r}.",
                code="duplicate_transformation",
                field=f"transformations.{item.name}",
            )
        by_name[item.name] = item
    references = resolve_references(by_name)
    for name, found in references.items():
        for needed in found.refs:
            check_ref(name, needed, by_name)
    places = source_places(transformations)
    edges = {name: set(found.refs) for name, found in references.items()}
    cycle = find_cycle(edges)
    if cycle is not None:
        raise SpecError(
            f"These transformations read each other: {' -> '.join(cycle)}.",
            code="model_cycle",
            field=f"transformations.{cycle[0]}.sql",
            transformations=cycle,
        )
    return tuple(
        ModelNode(
            name=name,
            kind=by_name[name].kind,
            destination_id=by_name[name].destination_id,
            checksum=checksum(by_name[name]),
            refs=references[name].refs,
            sources=tuple(sorted({places.get(one, one) for one in references[name].sources})),
        )
        for stage in stages(edges)
        for name in stage
    )


def source_places(
    transformations: Iterable[TransformationSpec],
) -> dict[tuple[str, str], tuple[str, str]]:
    """(source, table) as ``source()`` names them -> (schema, table) where they are not the same."""
    return {
        (spec.source, table.name): (spec.schema_name or spec.source, table.identifier or table.name)
        for item in transformations
        if item.kind == "source" and (spec := item.source) is not None
        for table in spec.tables
    }


def checksum(transformation: TransformationSpec) -> str:
    """sha256, hex, of everything that the tenant wrote."""
    content = transformation.model_dump(mode="json")
    leave_out_dbt_defaults(content)
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def resolve_references(by_name: Mapping[str, TransformationSpec]) -> dict[str, References]:
    """What each transformation reads, through the macros it calls too; guards every text."""
    macros: dict[str, References] = {}
    macro_files = [item for item in by_name.values() if item.kind == "macro"]
    # The guard of a macro needs the names of all macros, so the names come first, unchecked.
    packages = packages_of(by_name.values())
    packaged = frozenset(f"{name}.{macro}" for name in packages for macro in PACKAGES[name].macros)
    names = frozenset(item.name for item in macro_files) | packaged
    for item in macro_files:
        macros[item.name] = _read_macro(item, names)
    macros = {name: _through_macros(macros[name], macros) for name in macros}
    result: dict[str, References] = {}
    for name, item in by_name.items():
        check_properties(item, by_name, packages)
        if item.kind == "exposure" and item.exposure is not None:
            result[name] = References(
                tuple(sorted(set(item.exposure.refs))), tuple(sorted(set(item.exposure.sources)))
            )
        elif item.kind in ("macro", "seed", "source", "project", "exposure"):
            # What a macro names is read by the models that call it; by itself it builds nothing.
            result[name] = References()
        else:
            own = references_of(item.sql, field=f"transformations.{name}.sql", macros=names)
            result[name] = _through_macros(own, macros)
    return result


def _read_macro(item: TransformationSpec, names: frozenset[str]) -> References:
    field = f"transformations.{item.name}.sql"
    if item.name in _RESERVED_MACROS or _DISPATCHED.match(item.name):
        raise SpecError(
            f"A macro cannot be called {item.name!r}: the name is taken.",
            code="macro_name_reserved",
            field=f"transformations.{item.name}.name",
        )
    tree = check_template(item.sql, field=field, macros=names, defines_macros=True)
    if defined_macros(tree) != {item.name}:
        raise SpecError(
            f"Transformation {item.name!r} must define exactly one macro of that name.",
            code="macro_name_mismatch",
            field=field,
            hint=f"Write {{% macro {item.name}(…) %}} … {{% endmacro %}}, one macro a file.",
        )
    return read_references(tree)


def _through_macros(own: References, macros: Mapping[str, References]) -> References:
    """``own`` and what its macros read, theirs too."""
    found, waiting, seen = own, set(own.macros), set[str]()
    while waiting:
        name = waiting.pop()
        if name not in seen and name in macros:
            seen.add(name)
            found |= macros[name]
            waiting.update(macros[name].macros)
    return found
