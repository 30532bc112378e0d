"""``(specification, connections, transformations) -> Plan``.

The plan does not depend on the order in which independent things are listed: steps, dependencies,
tables and transformations are sorted, so the same work has the same hash.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from datanika.compiler.graph import find_cycle, stages
from datanika.compiler.project import compile_models, transformations_of
from datanika.compiler.properties import check_destination, schema_of
from datanika.compiler.state import check_state_selectors
from datanika.compiler.table_settings import check_sync, check_table_settings
from datanika.contracts.catalog import connector_kinds
from datanika.contracts.enums import StepKind, WriteDisposition
from datanika.contracts.plan import Plan, PlanLoad, PlanTransform
from datanika.contracts.spec import (
    ConnectionRef,
    LoadStep,
    PipelineSpec,
    TableSpec,
    TransformationSpec,
    TransformStep,
)
from datanika.errors import SpecError

_IDENTIFIER = re.compile(r"[a-z][a-z0-9_]{0,62}")
_SELECTOR = re.compile(r"[A-Za-z0-9_@+*][A-Za-z0-9_@+*.:,/-]*")


def compile_plan(
    spec: PipelineSpec,
    connections: Mapping[int, ConnectionRef],
    transformations: Sequence[TransformationSpec],
) -> Plan:
    """The plan of ``spec``.

    ``connections`` are the organisation's, by id; ``transformations`` are all of them: each
    transform step takes those of its destination. Raises :class:`SpecError` that names the step
    or the transformation, with ``field`` as a dotted path into the specification, and
    :class:`~datanika.errors.GuardRefused` for SQL that may not run.
    """
    positions = _positions(spec)
    edges = _edges(spec)
    order = stages(edges)
    planned: dict[str, PlanLoad | PlanTransform] = {}
    written: dict[tuple[int, str, str], str] = {}
    for key in (key for stage in order for key in stage):
        index = positions[key]
        step = spec.steps[index]
        field = f"steps.{index}"
        if step.kind is StepKind.LOAD:
            load = _plan_load(step, field, connections)
            _claim_tables(load.step, field, written)
            planned[key] = load
        else:
            planned[key] = _plan_transform(step, field, connections, transformations)
    _check_models_against_loads(planned.values(), transformations, written)
    return Plan(steps=tuple(planned.values()), stages=order, timeout_seconds=spec.timeout_seconds)


def target_table(table: TableSpec) -> str | None:
    """The destination table of ``table``, or None when its name gives none.

    ``orders`` and ``sales.orders`` land in ``orders``, ``nyc/flights-*.parquet`` in ``flights``.
    """
    if table.target is not None:
        return table.target
    stem = table.name.rsplit("/", 1)[-1].lower()
    stem = re.sub(r"\.(csv|parquet|jsonl|json)(\.gz|\.zip|\.zst)?$", "", stem).rsplit(".", 1)[-1]
    name = re.sub(r"[^a-z0-9_]+", "_", stem).strip("_")
    return name if _IDENTIFIER.fullmatch(name) else None


def _positions(spec: PipelineSpec) -> dict[str, int]:
    positions: dict[str, int] = {}
    for index, step in enumerate(spec.steps):
        if step.key in positions:
            raise SpecError(
                f"Two steps are called {step.key!r}.",
                code="duplicate_step_key",
                field=f"steps.{index}.key",
                hint="Give every step a key of its own.",
            )
        positions[step.key] = index
    return positions


def _edges(spec: PipelineSpec) -> dict[str, set[str]]:
    keys = {step.key for step in spec.steps}
    for index, step in enumerate(spec.steps):
        for position, needed in enumerate(step.depends_on):
            if needed not in keys:
                raise SpecError(
                    f"Step {step.key!r} depends on {needed!r}, which does not exist.",
                    code="unknown_step",
                    field=f"steps.{index}.depends_on.{position}",
                    hint=f"Steps of this pipeline: {', '.join(sorted(keys))}.",
                )
    edges = {step.key: set(step.depends_on) for step in spec.steps}
    cycle = find_cycle(edges)
    if cycle is not None:
        raise SpecError(
            f"These steps wait for each other: {' -> '.join(cycle)}.",
            code="step_cycle",
            field=f"steps.{_positions(spec)[cycle[0]]}.depends_on",
            hint="Remove one of these dependencies.",
            steps=cycle,
        )
    return edges


def _connection(
    connections: Mapping[int, ConnectionRef], connection_id: int, role: str, key: str, field: str
) -> ConnectionRef:
    """The connection, checked to be able to play ``role``."""
    ref = connections.get(connection_id)
    if ref is None:
        raise SpecError(
            f"Step {key!r} uses connection {connection_id}, which does not exist.",
            code="unknown_connection",
            field=field,
        )
    kind = connector_kinds().get(ref.kind)
    able = kind is not None and {
        "source": kind.is_source,
        "destination": kind.is_destination,
        "transform target": kind.supports_transform,
    }.get(role, False)
    if not able:
        raise SpecError(
            f"Step {key!r}: connection {ref.name!r} is of kind {ref.kind!r}, which cannot be "
            f"a {role}.",
            code="connection_kind_unfit",
            field=field,
        )
    return ref


def _plan_load(step: LoadStep, field: str, connections: Mapping[int, ConnectionRef]) -> PlanLoad:
    source = _connection(connections, step.source_id, "source", step.key, f"{field}.source_id")
    destination = _connection(
        connections, step.destination_id, "destination", step.key, f"{field}.destination_id"
    )
    tables = [
        _plan_table(table, step.key, f"{field}.tables.{index}")
        for index, table in enumerate(step.tables)
    ]
    for index, table in enumerate(step.tables):
        check_sync(table, source, destination, f"Step {step.key!r}", f"{field}.tables.{index}")
    tables.sort(key=lambda table: (table.target or "", table.name))
    return PlanLoad(
        step=step.model_copy(
            update={"depends_on": _sorted(step.depends_on), "tables": tuple(tables)}
        ),
        source=source,
        destination=destination,
    )


def _plan_table(table: TableSpec, key: str, field: str) -> TableSpec:
    """The table with its destination name filled in."""
    target = target_table(table)
    if target is None:
        raise SpecError(
            f"Step {key!r}: no table name can be made of {table.name!r}.",
            code="target_missing",
            field=f"{field}.target",
            hint="Set `target`: lower case letters, digits and underscores.",
        )
    if (
        table.write_disposition is WriteDisposition.MERGE
        and not table.primary_key
        and table.sync != "cdc"
    ):
        raise SpecError(
            f"Step {key!r}: {target!r} is merged, so it needs a primary key.",
            code="primary_key_missing",
            field=f"{field}.primary_key",
        )
    if table.write_disposition is WriteDisposition.REPLACE and table.cursor is not None:
        raise SpecError(
            f"Step {key!r}: {target!r} has a cursor and is replaced, so it would keep only the "
            "newest rows.",
            code="cursor_with_replace",
            field=f"{field}.write_disposition",
            hint="Use append or merge with a cursor.",
        )
    if (
        table.write_disposition is WriteDisposition.APPEND
        and table.cursor is not None
        and table.cursor.reads_again
    ):
        raise SpecError(
            f"Step {key!r}: {target!r} is appended, and its cursor's lag reads rows again: they "
            "would be doubled.",
            code="lag_needs_merge",
            field=f"{field}.cursor.lag_seconds",
            hint="Merge on a primary key, or use a lag of 0.",
        )
    check_table_settings(table, f"Step {key!r}, table {target!r}", field)
    return table.model_copy(update={"target": target})


def _claim_tables(step: LoadStep, field: str, written: dict[tuple[int, str, str], str]) -> None:
    for index, table in enumerate(step.tables):
        target = (step.destination_id, step.target_schema, str(table.target))
        other = written.get(target)
        if other is not None:
            raise SpecError(
                f"Steps {other!r} and {step.key!r} both write {step.target_schema}.{table.target}."
                if other != step.key
                else f"Step {step.key!r} writes {step.target_schema}.{table.target} twice.",
                code="duplicate_destination_table",
                field=f"{field}.tables.{index}.target",
                hint="Give one of them another `target` or schema.",
            )
        written[target] = step.key


def _plan_transform(
    step: TransformStep,
    field: str,
    connections: Mapping[int, ConnectionRef],
    transformations: Sequence[TransformationSpec],
) -> PlanTransform:
    destination = _connection(
        connections, step.destination_id, "transform target", step.key, f"{field}.destination_id"
    )
    for name in ("select", "exclude"):
        check_selectors(step.key, f"{field}.{name}", getattr(step, name))
    own = transformations_of(step.destination_id, transformations)
    for item in own:
        check_destination(item, destination.kind)
    return PlanTransform(
        step=step.model_copy(
            update={
                "depends_on": _sorted(step.depends_on),
                "select": _sorted(step.select),
                "exclude": _sorted(step.exclude),
            }
        ),
        destination=destination,
        models=compile_models(own),
    )


def check_selectors(step_key: str, field: str, selectors: Sequence[str]) -> None:
    """Raises :class:`SpecError` ``selector_invalid``."""
    for index, selector in enumerate(selectors):
        if not _SELECTOR.fullmatch(selector) or ".." in selector:
            raise SpecError(
                f"Step {step_key!r}: {selector!r} is not a dbt selector.",
                code="selector_invalid",
                field=f"{field}.{index}",
            )
    check_state_selectors(step_key, field, selectors)


def _check_models_against_loads(
    planned: Iterable[PlanLoad | PlanTransform],
    transformations: Sequence[TransformationSpec],
    written: Mapping[tuple[int, str, str], str],
) -> None:
    """A model that is built over a loaded table would destroy it."""
    for item in planned:
        if item.kind is not StepKind.TRANSFORM:
            continue
        for model in transformations_of(item.step.destination_id, transformations):
            schema = schema_of(model, item.step.default_schema, transformations)
            loader = written.get((model.destination_id, schema, model.alias or model.name))
            if loader is not None and model.kind in ("model", "seed", "snapshot"):
                raise SpecError(
                    f"Transformation {model.name!r} and load step {loader!r} both write "
                    f"{schema}.{model.alias or model.name}.",
                    code="duplicate_destination_table",
                    field=f"transformations.{model.name}.target_schema",
                )


def _sorted(values: Sequence[str]) -> tuple[str, ...]:
    return tuple(sorted(set(values)))
