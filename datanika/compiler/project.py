"""The transformations of one destination: guarded, resolved against each other, in order."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence

from datanika.compiler.graph import find_cycle, stages
from datanika.compiler.jinja_guard import (
    CROSS_DATABASE,
    FUNCTIONS,
    VARIABLES,
    check_plain,
    check_template,
    check_yml_value,
)
from datanika.compiler.references import (
    References,
    defined_macros,
    read_references,
    references_of,
)
from datanika.contracts.plan import ModelNode
from datanika.contracts.spec import ColumnSpec, TransformationSpec
from datanika.errors import GuardRefused, SpecError

BUILT_IN_TESTS = frozenset({"not_null", "unique", "accepted_values", "relationships"})
TEST_SETTINGS = frozenset({"name", "severity", "where", "limit", "warn_if", "error_if"})
"""Keys of a generic test that configure it; every other key is an argument of the test."""

RELATIONS = frozenset({"model", "seed", "snapshot"})
"""Kinds that ``ref()`` can name."""

_RESERVED_MACROS = (
    FUNCTIONS
    | VARIABLES
    | CROSS_DATABASE
    | {"generate_schema_name", "generate_alias_name", "generate_database_name", "dbt"}
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
            _check_ref(name, needed, by_name)
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
            sources=references[name].sources,
        )
        for stage in stages(edges)
        for name in stage
    )


def checksum(transformation: TransformationSpec) -> str:
    """sha256, hex, of everything that the tenant wrote."""
    text = json.dumps(transformation.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def resolve_references(by_name: Mapping[str, TransformationSpec]) -> dict[str, References]:
    """What each transformation reads, through the macros it calls too; guards every text."""
    macros: dict[str, References] = {}
    files = [item for item in by_name.values() if item.kind == "macro"]
    # The guard of a macro needs the names of all macros, so the names come first, unchecked.
    names = frozenset(item.name for item in files)
    for item in files:
        macros[item.name] = _read_macro(item, names)
    macros = {name: _through_macros(macros[name], macros) for name in macros}
    result: dict[str, References] = {}
    for name, item in by_name.items():
        check_texts(item, by_name)
        if item.kind == "macro":
            # What a macro names is read by the models that call it; by itself it builds nothing.
            result[name] = References()
        elif item.kind == "seed":
            result[name] = References()
        else:
            own = references_of(item.sql, field=f"transformations.{name}.sql", macros=names)
            result[name] = _through_macros(own, macros)
    return result


def _read_macro(item: TransformationSpec, names: frozenset[str]) -> References:
    field = f"transformations.{item.name}.sql"
    if item.name in _RESERVED_MACROS:
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


def _check_ref(name: str, needed: str, by_name: Mapping[str, TransformationSpec]) -> None:
    target = by_name.get(needed)
    if target is None or target.kind not in RELATIONS:
        known = sorted(key for key, item in by_name.items() if item.kind in RELATIONS)
        raise SpecError(
            f"Transformation {name!r} reads {needed!r}, which does not exist in this destination.",
            code="unknown_ref",
            field=f"transformations.{name}.sql",
            hint=f"ref() can name: {', '.join(known) or 'nothing yet'}.",
        )


def check_texts(item: TransformationSpec, by_name: Mapping[str, TransformationSpec]) -> None:
    """Guard what goes into a yml file, where dbt renders strings too."""
    field = f"transformations.{item.name}"
    check_plain(item.description, field=f"{field}.description")
    for index, text in enumerate(item.tags):
        check_plain(text, field=f"{field}.tags.{index}")
    for index, text in enumerate(item.unique_key):
        check_plain(text, field=f"{field}.unique_key.{index}")
    for index, column in enumerate(item.columns):
        where = f"{field}.columns.{index}"
        check_plain(column.name, field=f"{where}.name")
        check_plain(column.description, field=f"{where}.description")
        _check_tests(item.name, column, where, by_name)


def _check_tests(
    name: str, column: ColumnSpec, field: str, by_name: Mapping[str, TransformationSpec]
) -> None:
    own = {
        item.name.removeprefix("test_")
        for item in by_name.values()
        if item.kind == "macro" and item.name.startswith("test_")
    }
    for index, test in enumerate(column.tests):
        where = f"{field}.tests.{index}"
        test_name, arguments = split_test(test, field=where)
        if test_name not in BUILT_IN_TESTS | own:
            raise SpecError(
                f"Transformation {name!r}, column {column.name!r}: there is no test {test_name!r}.",
                code="unknown_test",
                field=where,
                hint=f"Tests: {', '.join(sorted(BUILT_IN_TESTS | own))}.",
            )
        check_yml_value(arguments, field=where)
        to = arguments.get("to")
        if test_name == "relationships" and isinstance(to, str):
            for needed in references_of("{{ " + to + " }}", field=f"{where}.to").refs:
                _check_ref(name, needed, by_name)


def split_test(
    test: str | Mapping[str, Mapping[str, object]], *, field: str = "tests"
) -> tuple[str, dict[str, object]]:
    """``"unique"`` or ``{"accepted_values": {"values": …}}`` as name and arguments."""
    if isinstance(test, str):
        return test, {}
    if len(test) != 1:
        raise GuardRefused("A test is its name, or one name with arguments.", field=field)
    ((test_name, arguments),) = test.items()
    return test_name, dict(arguments)
