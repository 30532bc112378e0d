"""One load of ours as a whole process: ``python -m tests.benchmarks.load_run STEP.json``."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path


def main(path: str) -> int:
    from datanika.contracts.events import NodeFinished, RunEvent
    from datanika.contracts.steps import ResolvedLoad
    from datanika.engines.dlt_engine.load import run_load

    step = ResolvedLoad.model_validate_json(Path(path).read_text())
    details: list[object] = []

    def emit(event: RunEvent) -> None:
        if isinstance(event, NodeFinished):
            details.append(event.details)

    with tempfile.TemporaryDirectory() as folder:
        finished = run_load(step, Path(folder), emit)
    print(finished.failure or details)
    return 0 if finished.failure is None else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
