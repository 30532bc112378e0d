"""A plan for one run that does less than its pipeline says. Pure: ``plan -> plan``.

What is left out is kept in :attr:`Plan.left_out` with the reason, so that a run's page can show
the whole pipeline. A step that is left out passes its dependencies on: of ``a -> b -> c`` without
``b``, ``c`` still waits for ``a``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from datanika.compiler.graph import stages
from datanika.compiler.plan import check_selectors
from datanika.contracts.enums import StepKind, StepState, WriteDisposition
from datanika.contracts.overrides import Interval, LeftOut, RunOverrides
from datanika.contracts.plan import Plan, PlanLoad, PlanTransform
from datanika.contracts.spec import TableSpec
from datanika.contracts.steps import BLOCKED
from datanika.errors import InvalidInput

_BUILT = (StepState.SUCCEEDED, StepState.WARNED)


@dataclass(frozen=True)
class Outcome:
    """How a step, or a table or dbt node in one (``node`` set), ended in an earlier run."""

    step_key: str
    node: str
    name: str
    kind: str
    state: str
    code: str | None = None


def narrow_plan(plan: Plan, overrides: RunOverrides, scratch_schema: str | None = None) -> Plan:
    """``plan`` as ``overrides`` want it; raises :class:`InvalidInput` for an unknown step, and
    :class:`~datanika.errors.SpecError` for a selector that is none.

    ``scratch_schema``: where a run that defers builds.
    """
    known = {planned.step.key for planned in plan.steps}
    chosen, note = known, "Not among the steps that this run was asked for."
    if any(getattr(overrides, name) for name in ("command", "select", "exclude", "defer")):
        for name in ("select", "exclude"):
            check_selectors("overrides", name, getattr(overrides, name) or ())
        able = {planned.step.key for planned in plan.steps if planned.kind is StepKind.TRANSFORM}
        if not able:
            raise InvalidInput(
                "The pipeline has no transform step that dbt could do this in.",
                code="nothing_to_transform",
                hint="Add a transform step to the pipeline.",
            )
        if overrides.steps is None or overrides.defer:
            chosen, note = able, "This run was asked for what dbt does."
    if overrides.steps is not None:
        for index, key in enumerate(overrides.steps):
            if key not in known:
                raise InvalidInput(
                    f"The pipeline has no step {key!r}.",
                    code="unknown_step",
                    field=f"steps.{index}",
                    hint=f"Its steps: {', '.join(sorted(known))}.",
                )
        chosen = set(overrides.steps) & chosen
    left_out = [
        _left_out(planned, "not_chosen", note)
        for planned in plan.steps
        if planned.step.key not in chosen
    ]
    kept = {item.step.key: item for item in plan.steps if item.step.key in chosen}
    if overrides.full_refresh:
        kept = {key: _refreshed(item) for key, item in kept.items()}
    kept = {key: _overridden(item, overrides, scratch_schema) for key, item in kept.items()}
    return _rebuilt(plan, kept, left_out)


def _overridden(
    planned: PlanLoad | PlanTransform, overrides: RunOverrides, scratch_schema: str | None
) -> PlanLoad | PlanTransform:
    if planned.kind is not StepKind.TRANSFORM:
        return planned
    change: dict[str, Any] = {
        name: value
        for name in ("command", "threads", "fail_fast", "store_failures")
        if (value := getattr(overrides, name)) is not None
    }
    for name in ("select", "exclude"):
        if (selectors := getattr(overrides, name)) is not None:
            change[name] = tuple(sorted(set(selectors)))
    production = planned.production_schema
    if overrides.defer and scratch_schema is not None:
        production = planned.step.default_schema
        change["default_schema"] = scratch_schema
    step = planned.step.model_copy(update=change)
    return planned.model_copy(update={"step": step, "production_schema": production})


def resume_plan(plan: Plan, run_id: int, outcomes: Iterable[Outcome]) -> Plan:
    """What is left of ``plan`` after run ``run_id`` ended in ``outcomes``.

    Steps that succeeded are left out. Of a load step that did not, only tables that did not
    succeed are loaded again; of a transform step, only nodes that did not succeed are built, which
    are the failed ones, those that a breach kept from being built, and what is downstream.
    """
    by_step: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        by_step.setdefault(outcome.step_key, []).append(outcome)
    note = f"Run {run_id} did it."
    kept: dict[str, PlanLoad | PlanTransform] = {}
    left_out: list[LeftOut] = []
    for planned in plan.steps:
        key = planned.step.key
        ended = by_step.get(key, [])
        built = {item.node: item for item in ended if item.node and item.state in _BUILT}
        blocked = any(item.node and item.code == BLOCKED for item in ended)
        done = any(not item.node and item.state in _BUILT for item in ended) and not blocked
        rest = None if done else _unfinished(planned, built)
        if rest is not None:
            kept[key] = rest
        else:
            left_out.append(_left_out(planned, "done_before", note, run_id))
        left_out += [
            LeftOut(
                step_key=key,
                node=item.node,
                name=item.name,
                kind=item.kind,
                reason="done_before",
                note=note,
                run_id=run_id,
            )
            for item in built.values()
        ]
    return _rebuilt(plan, kept, left_out)


def backfill_plan(plan: Plan, interval: Interval, *, transforms: bool) -> Plan:
    """``plan`` for the rows of ``interval`` only, with transform steps if ``transforms``.

    Raises :class:`InvalidInput` ``nothing_to_backfill`` when no table is loaded by its cursor.
    """
    kept: dict[str, PlanLoad | PlanTransform] = {}
    left_out: list[LeftOut] = []
    for planned in plan.steps:
        key = planned.step.key
        if planned.kind is StepKind.TRANSFORM:
            if transforms:
                kept[key] = planned
            else:
                note = "Transformations run with the last chunk of the backfill."
                left_out.append(_left_out(planned, "with_last_chunk", note))
            continue
        tables = tuple(table for table in planned.step.tables if _has_interval(table))
        for table in planned.step.tables:
            if table not in tables:
                left_out.append(_no_interval(planned, table))
        if tables:
            step = planned.step.model_copy(update={"tables": tables})
            kept[key] = planned.model_copy(update={"step": step, "interval": interval})
        else:
            note = "None of its tables can be loaded by an interval."
            left_out.append(_left_out(planned, "not_by_interval", note))
    if not any(planned.kind is StepKind.LOAD for planned in kept.values()):
        raise InvalidInput(
            "No table of these steps can be loaded by an interval.",
            code="nothing_to_backfill",
            hint="A backfill needs a table that is appended or merged by a cursor on a time.",
        )
    return _rebuilt(plan, kept, left_out)


def _has_interval(table: TableSpec) -> bool:
    return table.cursor is not None and table.write_disposition is not WriteDisposition.REPLACE


def _no_interval(planned: PlanLoad, table: TableSpec) -> LeftOut:
    why = (
        "It is replaced as a whole"
        if table.write_disposition is WriteDisposition.REPLACE
        else "It has no cursor"
    )
    return LeftOut(
        step_key=planned.step.key,
        node=f"{planned.step.target_schema}.{table.target}",
        name=str(table.target),
        kind="table",
        reason="not_by_interval",
        note=f"{why}, so a backfill cannot load a part of it.",
    )


def _unfinished(
    planned: PlanLoad | PlanTransform, built: Mapping[str, Outcome]
) -> PlanLoad | PlanTransform | None:
    if planned.kind is StepKind.TRANSFORM:
        return planned.model_copy(update={"done": tuple(sorted({*planned.done, *built}))})
    schema = planned.step.target_schema
    tables = tuple(t for t in planned.step.tables if f"{schema}.{t.target}" not in built)
    if not tables:
        return None
    return planned.model_copy(update={"step": planned.step.model_copy(update={"tables": tables})})


def _refreshed(planned: PlanLoad | PlanTransform) -> PlanLoad | PlanTransform:
    if planned.kind is StepKind.LOAD:
        return planned.model_copy(update={"full_refresh": True})
    return planned.model_copy(
        update={"step": planned.step.model_copy(update={"full_refresh": True})}
    )


def _left_out(
    planned: PlanLoad | PlanTransform, reason: str, note: str, run_id: int | None = None
) -> LeftOut:
    key = planned.step.key
    return LeftOut.model_validate(
        {
            "step_key": key,
            "name": key,
            "kind": planned.kind.value,
            "reason": reason,
            "note": note,
            "run_id": run_id,
        }
    )


def _rebuilt(
    plan: Plan, kept: Mapping[str, PlanLoad | PlanTransform], left_out: Sequence[LeftOut]
) -> Plan:
    """``plan`` with ``kept`` only; dependencies go through what is left out."""
    needs: dict[str, set[str]] = {}
    for planned in plan.steps:
        # In topological order: what it depends on is known.
        direct = planned.step.depends_on
        needs[planned.step.key] = {
            end for key in direct for end in ({key} if key in kept else needs[key])
        }
    steps = []
    for key, planned in kept.items():
        step = planned.step.model_copy(update={"depends_on": tuple(sorted(needs[key]))})
        steps.append(planned.model_copy(update={"step": step}))
    # What an earlier plan of this pipeline left out stays left out.
    known = {(item.step_key, item.node): item for item in left_out}
    before = {(item.step_key, item.node): item for item in plan.left_out}
    return plan.model_copy(
        update={
            "steps": tuple(steps),
            "stages": stages({key: needs[key] for key in kept}),
            "left_out": tuple({**before, **known}.values()),
        }
    )
