"""An engine host whose steps do nothing, so that a benchmark measures what is around a step.

The processes, the pipes, the sandbox and the events are the real ones.

    python -m tests.benchmarks.tiny_engine        a Datanika worker with it
"""

from __future__ import annotations

from pathlib import Path

from datanika.contracts.enums import StepState
from datanika.contracts.events import StepFinished
from datanika.contracts.steps import ResolvedLoad, ResolvedTransform
from datanika.execution import engine_child
from datanika.execution.engine_child import EventWriter
from datanika.execution.engine_host import start_engine_host, warm_up

__all__ = ["start_engine_host", "warm_up"]


def _nothing(
    step: ResolvedLoad | ResolvedTransform, folder: Path, events: EventWriter, parse: object
) -> StepFinished:
    return StepFinished(step_key=step.step.key, state=StepState.SUCCEEDED, rows=0)


engine_child._engine = _nothing

if __name__ == "__main__":
    from datanika.execution.worker import main

    raise SystemExit(main("tests.benchmarks.tiny_engine"))
