"""What the loads of a run told of their tables' schema contracts, for the transforms after them."""

from __future__ import annotations

from datanika.contracts.enums import StepState
from datanika.contracts.events import ColumnBreach, NodeFinished
from datanika.contracts.plan import Plan, PlanLoad, PlanTransform
from datanika.contracts.shape import BreachKind


class RunBreaches:
    """By step and table; the last try of a step counts."""

    def __init__(self) -> None:
        self._ends: dict[str, dict[str, NodeFinished]] = {}

    def begin(self, step_key: str) -> None:
        """A try of the step begins: nothing is known of it any more."""
        self._ends.pop(step_key, None)

    def note(self, event: NodeFinished) -> None:
        """The end of a table or dbt node."""
        self._ends.setdefault(event.step_key, {})[event.node] = event

    def let_on(self, load: PlanLoad, planned: PlanTransform) -> bool:
        """Whether ``planned`` may run although ``load`` failed: frozen contracts alone stopped it,
        and which columns they are is known."""
        if BreachKind.FROZEN not in planned.step.blocked_by:
            return False
        if load.destination.id != planned.destination.id:
            return False
        ends = self._ends.get(load.step.key, {}).values()
        bad = [end for end in ends if end.state is not StepState.SUCCEEDED]
        return bool(bad) and all(
            end.state is StepState.FAILED
            and any(one.how is BreachKind.FROZEN for one in end.breaches)
            for end in bad
        )

    def of(self, plan: Plan, planned: PlanTransform) -> tuple[ColumnBreach, ...]:
        """Those that may concern ``planned``: of every load before it into its destination."""
        before: set[str] = set()
        waiting = list(planned.step.depends_on)
        while waiting:
            key = waiting.pop()
            if key not in before:
                before.add(key)
                waiting += plan.get(key).step.depends_on
        return tuple(
            breach
            for other in plan.steps
            if other.step.key in before and other.destination.id == planned.destination.id
            for end in self._ends.get(other.step.key, {}).values()
            for breach in end.breaches
            if breach.how in planned.step.blocked_by
        )
