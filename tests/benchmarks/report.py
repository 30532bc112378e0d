"""One line of JSON a case: its figures, and what they were measured with."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

PACKAGES = ("datanika", "fastapi", "sqlalchemy", "asyncpg", "uvicorn", "pydantic")


def print_case(case: str, figures: dict[str, Any]) -> None:
    """Print ``figures`` under the name ``case``; floats with three decimals."""
    rounded = {
        key: round(value, 3) if isinstance(value, float) else value
        for key, value in figures.items()
    }
    line = {"case": case, **rounded, "load": round(os.getloadavg()[0], 2), "versions": versions()}
    print(json.dumps(line), flush=True)


def versions() -> dict[str, str]:
    """What the figures depend on."""
    return {
        "python": platform.python_version(),
        "cores": str(os.cpu_count()),
        **{name: version(name) for name in PACKAGES},
    }


def percentile(values: Sequence[float], share: float) -> float:
    """The value that ``share`` of ``values`` do not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, -(-int(share * 1000) * len(ordered) // 1000) - 1))]
