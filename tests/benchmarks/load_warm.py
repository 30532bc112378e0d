"""Small loads in children of a warm engine host, as a worker makes them; prints the seconds of
each: ``python -m tests.benchmarks.load_warm STEP.json ROUNDS``."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path


async def rounds(text: str, number: int) -> list[float]:
    from datanika.contracts.events import StepFinished
    from datanika.contracts.steps import ResolvedLoad
    from datanika.execution.engine_host import start_engine_host

    step = ResolvedLoad.model_validate_json(text)
    host = start_engine_host()
    took = []
    try:
        for run_id in range(1, number + 1):
            began = time.monotonic()
            async for event in host.run(step.model_copy(update={"run_id": run_id})):
                if isinstance(event, StepFinished):
                    if event.failure is not None:
                        raise SystemExit(str(event.failure))
                    took.append(time.monotonic() - began)
    finally:
        host.close()
    return took


def main() -> None:
    from datanika.execution import preload

    preload.warm_up()
    print(json.dumps(asyncio.run(rounds(Path(sys.argv[1]).read_text(), int(sys.argv[2])))))


if __name__ == "__main__":
    main()
