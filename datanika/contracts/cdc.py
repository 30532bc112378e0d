"""What both wings know of change data capture: how slots are called, and which a plan reads."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

SLOT_PREFIX = "datanika_"


def slot_name(owner: str, pipeline_key: str) -> str:
    """Of the slot and the publication of a step; names of slots are the whole server's.

    Only who knows ``owner`` can tell a name for its own, so that nobody takes another's away.
    """
    digest = hashlib.sha256(f"{owner}/{pipeline_key}".encode()).hexdigest()[:12]
    slug = re.sub(r"[^a-z0-9_]", "_", pipeline_key.lower())[:36]
    return f"{SLOT_PREFIX}{slug}_{digest}"


def pipeline_key(pipeline_id: int, step_key: str) -> str:
    """A step of a pipeline, in names outside of the control plane."""
    return f"p{pipeline_id}_{step_key}"


def steps_with_changes(steps: Iterable[Mapping[str, Any]] | None) -> Iterator[tuple[str, int]]:
    """(step key, source connection) of each step with a table that follows changes.

    ``steps``: as JSON, of a specification (steps) or of a plan (what it plans, with ``step``).
    """
    for one in steps or ():
        step = one.get("step", one)
        if any(table.get("sync") == "cdc" for table in step.get("tables") or ()):
            yield str(step["key"]), int(step["source_id"])
