"""What a transformation says beside its SQL: does it fit together, and is it safe in a yml.

dbt renders Jinja in many values of a yml file, so no text may hold any (trust.md T1-T3).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import NoReturn

from pydantic import BaseModel

from datanika.compiler.jinja_guard import check_plain, check_yml_value
from datanika.compiler.packages import PACKAGES
from datanika.compiler.references import references_of
from datanika.contracts.dbt import DbtTest
from datanika.contracts.spec import TransformationSpec
from datanika.errors import GuardRefused, SpecError

BUILT_IN_TESTS = frozenset({"not_null", "unique", "accepted_values", "relationships"})
TEST_SETTINGS = frozenset(
    {"name", "severity", "where", "limit", "warn_if", "error_if", "fail_calc", "store_failures"}
)
"""Keys of a generic test that configure it; every other key is an argument of the test."""

RELATIONS = frozenset({"model", "seed", "snapshot"})
"""Kinds that ``ref()`` can name."""
WITH_SQL = frozenset({"model", "test", "macro", "seed", "snapshot"})

_BLOCKS = {
    "snapshot": {"snapshot"},
    "seed": {"seed"},
    "test": {"test"},
    "exposure": {"exposure"},
    "source": {"source"},
    "project": {"project"},
    "microbatch": {"model"},
    "contract_enforced": {"model"},
    "constraints": {"model"},
    "unit_tests": {"model"},
    "incremental_strategy": {"model"},
    "on_schema_change": {"model"},
    "merge_update_columns": {"model"},
    "merge_exclude_columns": {"model"},
    "incremental_predicates": {"model"},
    "event_time": {"model", "seed", "snapshot"},
    "alias": {"model", "seed", "snapshot"},
    "tests": {"model", "seed", "snapshot"},
}
"""Fields that only some kinds know."""
_OF_INCREMENTAL = (
    "incremental_strategy", "on_schema_change", "merge_update_columns", "merge_exclude_columns",
    "incremental_predicates", "microbatch",
)  # fmt: skip
_OVERWRITE = "insert_overwrite"
_NO_STRATEGY = {
    "bigquery": frozenset({"append", "delete+insert", _OVERWRITE}),
    "clickhouse": frozenset({"merge", _OVERWRITE}),
    **dict.fromkeys(("postgres", "duckdb", "redshift", "mssql"), frozenset({_OVERWRITE})),
}
"""What the adapter has not, or only for tables in partitions, which nobody can ask for here."""
_NO_MATERIALIZED_VIEW = frozenset({"duckdb", "mssql", "clickhouse"})


_MICROBATCH_KEY = {"postgres": True, "duckdb": False}
"""Whether the adapter merges a microbatch by a key, or replaces the time that it covers."""


def check_properties(
    item: TransformationSpec,
    by_name: Mapping[str, TransformationSpec],
    packages: Collection[str] = (),
) -> None:
    """Raises :class:`SpecError` for what does not fit, :class:`GuardRefused` for Jinja."""
    field = f"transformations.{item.name}"
    _check_fit(item, field)
    for name in type(item).model_fields:
        if name not in ("sql", "columns", "tests", "source"):
            _check_texts(getattr(item, name), f"{field}.{name}")
    known = BUILT_IN_TESTS | _own_tests(by_name) | _packaged_tests(packages)
    _check_columns(item.name, item, field, by_name, known)
    if item.source is not None:
        for index, table in enumerate(item.source.tables):
            where = f"{field}.source.tables.{index}"
            _check_columns(item.name, table, where, by_name, known)
            _check_texts(table.model_copy(update={"columns": (), "tests": ()}), where)
        _check_texts(item.source.model_copy(update={"tables": ()}), f"{field}.source")
    for index, unit in enumerate(item.unit_tests):
        for given in unit.given:
            if given.ref is not None:
                check_ref(item.name, given.ref, by_name, f"{field}.unit_tests.{index}.given")
    for index, constraint in enumerate(item.constraints):
        if constraint.to is not None:
            check_ref(item.name, constraint.to, by_name, f"{field}.constraints.{index}.to")


def check_destination(item: TransformationSpec, destination_kind: str) -> None:
    """Raises :class:`SpecError` for what dbt's adapter of the destination cannot do."""
    if (
        item.kind == "model"
        and item.materialization == "materialized_view"
        and destination_kind in _NO_MATERIALIZED_VIEW
    ):
        raise SpecError(
            f"{item.name}: there are no materialized views in {destination_kind}.",
            code="materialization_not_supported",
            field=f"transformations.{item.name}.materialization",
            hint="Build a table.",
        )
    if item.incremental_strategy in _NO_STRATEGY.get(destination_kind, ()):
        raise SpecError(
            f"{item.name}: dbt's adapter of {destination_kind} has no incremental strategy "
            f"{item.incremental_strategy}.",
            code="setting_unfit",
            field=f"transformations.{item.name}.incremental_strategy",
            hint="Leave it out: the adapter's own is used.",
        )
    needs_key = _MICROBATCH_KEY.get(destination_kind)
    if item.microbatch is not None and needs_key not in (None, bool(item.unique_key)):
        raise SpecError(
            f"{item.name}: microbatches in {destination_kind} "
            + ("need a unique_key." if needs_key else "have no unique_key."),
            code="setting_unfit",
            field=f"transformations.{item.name}.unique_key",
        )


def schema_of(
    item: TransformationSpec,
    default_schema: str,
    transformations: Iterable[TransformationSpec],
) -> str:
    """The schema of the destination where ``item`` is built."""
    if item.target_schema is None:
        return default_schema
    if any(
        other.project is not None
        and other.destination_id == item.destination_id
        and other.project.schema_names == "prefixed"
        for other in transformations
    ):
        return f"{default_schema}_{item.target_schema}"
    return item.target_schema


def _check_fit(item: TransformationSpec, field: str) -> None:
    def refuse(name: str, message: str, code: str = "setting_unfit") -> NoReturn:
        raise SpecError(f"{item.name}: {message}", code=code, field=f"{field}.{name}")

    if item.kind in WITH_SQL and not item.sql.strip():
        refuse("sql", "there is no code.", "sql_missing")
    if item.kind not in WITH_SQL:
        if item.sql:
            refuse("sql", f"a transformation of the kind {item.kind} has no code.")
        if getattr(item, item.kind) is None:
            refuse(item.kind, f"{item.kind} is needed.", "setting_missing")
    for name, kinds in _BLOCKS.items():
        if item.kind not in kinds and getattr(item, name) != type(item).model_fields[name].default:
            refuse(name, f"{name} is not for a {item.kind}.")
    if item.materialization != "incremental":
        for name in _OF_INCREMENTAL:
            if getattr(item, name) != type(item).model_fields[name].default:
                refuse(name, f"{name} is for incremental models.")
    strategy = item.incremental_strategy
    if strategy in ("merge", "delete+insert") and not item.unique_key:
        refuse("unique_key", f"{strategy} needs a unique_key.", "setting_missing")
    if (strategy == "microbatch") != (item.microbatch is not None):
        refuse("microbatch", "the strategy microbatch and its settings go together.")
    if item.microbatch is not None and item.event_time is None:
        refuse("event_time", "microbatch needs an event_time.", "setting_missing")
    if item.merge_update_columns and item.merge_exclude_columns:
        refuse("merge_exclude_columns", "name the columns to update, or those to leave out.")
    if (item.merge_update_columns or item.merge_exclude_columns) and strategy != "merge":
        refuse("incremental_strategy", "columns to merge need the strategy merge.")
    if item.snapshot is not None:
        timestamp = item.snapshot.strategy == "timestamp"
        if timestamp and item.snapshot.updated_at is None:
            refuse("snapshot.updated_at", "timestamp needs updated_at.", "setting_missing")
        if timestamp and item.snapshot.check_cols:
            refuse("snapshot.check_cols", "check_cols is for the strategy check.")
        if not item.unique_key:
            refuse("unique_key", "a snapshot needs a unique_key.", "setting_missing")
    if item.contract_enforced:
        if item.materialization == "ephemeral":
            refuse("contract_enforced", "an ephemeral model has no contract.")
        for index, column in enumerate(item.columns):
            if column.data_type is None:
                refuse(
                    f"columns.{index}.data_type",
                    f"the contract needs the type of column {column.name}.",
                    "setting_missing",
                )
    for index, unit in enumerate(item.unit_tests):
        for at, given in enumerate(unit.given):
            if (given.ref is not None) + (given.source is not None) + given.this != 1:
                refuse(
                    f"unit_tests.{index}.given.{at}", "name one of ref, source and this.",
                )  # fmt: skip


def _check_texts(value: object, field: str) -> None:
    """No Jinja, and nothing that dbt takes for a call, in any text inside ``value``."""
    if isinstance(value, BaseModel):
        for name in type(value).model_fields:
            _check_texts(getattr(value, name), f"{field}.{name}")
    elif isinstance(value, dict):
        for key, inner in value.items():
            check_plain(str(key), field=field)
            _check_texts(inner, f"{field}.{key}")
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            _check_texts(inner, f"{field}.{index}")
    elif isinstance(value, str):
        check_plain(value, field=field)


def _own_tests(by_name: Mapping[str, TransformationSpec]) -> frozenset[str]:
    return frozenset(
        item.name.removeprefix("test_")
        for item in by_name.values()
        if item.kind == "macro" and item.name.startswith("test_")
    )


def _packaged_tests(packages: Collection[str]) -> frozenset[str]:
    return frozenset(f"{name}.{test}" for name in packages for test in PACKAGES[name].tests)


def _check_columns(
    name: str,
    relation: object,
    field: str,
    by_name: Mapping[str, TransformationSpec],
    known: frozenset[str],
) -> None:
    _check_tests(name, relation.tests, f"{field}.tests", by_name, known)  # type: ignore[attr-defined]
    for index, column in enumerate(relation.columns):  # type: ignore[attr-defined]
        where = f"{field}.columns.{index}"
        _check_texts(column.model_copy(update={"tests": ()}), where)
        _check_tests(name, column.tests, f"{where}.tests", by_name, known)
        for constraint in column.constraints:
            if constraint.to is not None:
                check_ref(name, constraint.to, by_name, f"{where}.constraints")


def _check_tests(
    name: str,
    tests: Iterable[DbtTest],
    field: str,
    by_name: Mapping[str, TransformationSpec],
    known: frozenset[str],
) -> None:
    for index, test in enumerate(tests):
        where = f"{field}.{index}"
        test_name, arguments = split_test(test, field=where)
        if test_name not in known:
            raise SpecError(
                f"Transformation {name!r}: there is no test {test_name!r}.",
                code="unknown_test",
                field=where,
                hint=f"Tests: {', '.join(sorted(known))}. Those of a package need the package in "
                "the project's settings.",
            )
        check_yml_value(arguments, field=where)
        for key, argument in arguments.items():
            # dbt resolves arguments that look like calls.
            if isinstance(argument, str) and argument.strip().startswith("ref"):
                found = references_of("{{ " + argument + " }}", field=f"{where}.{key}")
                for needed in found.refs:
                    check_ref(name, needed, by_name, f"{where}.{key}")


def split_test(test: DbtTest, *, field: str = "tests") -> tuple[str, dict[str, object]]:
    """``"unique"`` or ``{"accepted_values": {"values": …}}`` as name and arguments."""
    if isinstance(test, str):
        return test, {}
    if len(test) != 1:
        raise GuardRefused("A test is its name, or one name with arguments.", field=field)
    ((test_name, arguments),) = test.items()
    return test_name, dict(arguments)


def check_ref(
    name: str,
    needed: str,
    by_name: Mapping[str, TransformationSpec],
    field: str | None = None,
) -> None:
    """Raises :class:`SpecError` unless ``ref(needed)`` leads to a relation."""
    target = by_name.get(needed)
    if target is None or target.kind not in RELATIONS or not target.enabled:
        known = sorted(
            key for key, item in by_name.items() if item.kind in RELATIONS and item.enabled
        )
        raise SpecError(
            f"Transformation {name!r} reads {needed!r}, which does not exist in this destination.",
            code="unknown_ref",
            field=field or f"transformations.{name}.sql",
            hint=f"ref() can name: {', '.join(known) or 'nothing yet'}.",
        )
