"""``dbt build`` by prefect-dbt's runner in a flow: ``python -m tests.benchmarks.transform_prefect
PROJECT``; prints the seconds of the flow itself."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from prefect import flow
from prefect_dbt import PrefectDbtRunner, PrefectDbtSettings


@flow(name="dbt-build")
def build(project: str) -> None:
    settings = PrefectDbtSettings(project_dir=Path(project), profiles_dir=Path(project))
    PrefectDbtRunner(settings=settings).invoke(["build"])


if __name__ == "__main__":
    began = time.monotonic()
    build(sys.argv[1])
    sys.stdout.write(f"\nflow seconds {time.monotonic() - began:.3f}\n")
