"""``state:modified`` and its like: which transformations are not what the last good run built.

Plans carry the checksum of every transformation, so no artifact of dbt is kept: the selectors
become names before the run is stored, and dbt never sees them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from datanika.contracts.enums import StepKind
from datanika.contracts.plan import ModelNode, Plan, PlanTransform
from datanika.errors import SpecError

NOTHING = "tag:datanika_nothing_modified"
"""Selects nothing: where everything is as it was."""
_STATE = re.compile(r"(@|\d*\+)?state:([a-z_.]+)(\+\d*)?")
_METHODS = ("modified", "new", "old", "unmodified")
_SELECTABLE = frozenset({"model", "seed", "snapshot", "test"})


def check_state_selectors(step_key: str, field: str, selectors: Sequence[str]) -> None:
    """Raises :class:`SpecError` ``selector_invalid`` for a state that nobody knows."""
    for index, selector in enumerate(selectors):
        for part in selector.split(","):
            found = _STATE.fullmatch(part)
            if "state:" in part and (found is None or found[2] not in _METHODS):
                raise SpecError(
                    f"Step {step_key!r}: {part!r} is not a state.",
                    code="selector_invalid",
                    field=f"{field}.{index}",
                    hint=f"States: {', '.join(f'state:{name}' for name in _METHODS)}, also with +.",
                )


def asks_for_state(plan: Plan) -> tuple[str, ...]:
    """Keys of the steps that select by state."""
    return tuple(
        planned.step.key
        for planned in plan.steps
        if planned.kind is StepKind.TRANSFORM
        and any("state:" in text for text in (*planned.step.select, *planned.step.exclude))
    )


def resolve_states(plan: Plan, before: dict[str, PlanTransform]) -> Plan:
    """``plan`` with names for states. ``before``: by step key, what was built last; a step that
    is not in it was never built, so all of it is new."""
    keys = set(asks_for_state(plan))
    return plan.model_copy(
        update={
            "steps": tuple(
                _resolve(planned, before.get(planned.step.key))
                if isinstance(planned, PlanTransform) and planned.step.key in keys
                else planned
                for planned in plan.steps
            )
        }
    )


def _resolve(planned: PlanTransform, before: PlanTransform | None) -> PlanTransform:
    states = _states(planned.models, before.models if before is not None else ())
    select = _named(planned.step.select, states)
    exclude = _named(planned.step.exclude, states)
    if planned.step.select and not select:
        select = (NOTHING,)
    step = planned.step.model_copy(update={"select": select, "exclude": exclude})
    return planned.model_copy(update={"step": step})


def _states(now: Sequence[ModelNode], before: Sequence[ModelNode]) -> dict[str, list[str]]:
    old = {node.name: node.checksum for node in before}
    new = {node.name for node in now if node.name not in old}
    changed = {node.name for node in now if old.get(node.name) != node.checksum}
    gone = old.keys() - {node.name for node in now}
    kinds = {node.kind for node in now if node.name in changed} | {
        node.kind for node in before if node.name in gone
    }
    # Who calls a macro is not in a plan: rather one model too many than one too few.
    everything = bool(kinds & {"macro", "project"})
    sources = "source" in kinds
    names = [node.name for node in now if node.kind in _SELECTABLE]
    modified = {
        node.name
        for node in now
        if everything or node.name in changed or (sources and node.sources)
    }
    return {
        "modified": [name for name in names if name in modified],
        "unmodified": [name for name in names if name not in modified],
        "new": [name for name in names if name in new],
        "old": [name for name in names if name not in new],
    }


def _named(selectors: Sequence[str], states: dict[str, list[str]]) -> tuple[str, ...]:
    result: set[str] = set()
    for selector in selectors:
        alternatives = [""]
        for part in selector.split(","):
            found = _STATE.fullmatch(part)
            ways = (
                [part]
                if found is None
                else [f"{found[1] or ''}{name}{found[3] or ''}" for name in states[found[2]]]
            )
            alternatives = [
                f"{start},{way}" if start else way for start in alternatives for way in ways
            ]
        result.update(alternatives)
    return tuple(sorted(result))
