"""What is left of a selection after some of its nodes were built: as ``dbt retry`` chooses.

A node that was built is never downstream of one that failed, so the rest is the failed nodes,
those that were skipped because of them, and those that a killed invocation never came to.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from datanika.contracts.enums import DbtCommand
from datanika.contracts.steps import ResolvedTransform

_TYPES = {
    DbtCommand.RUN: {"model"},
    DbtCommand.TEST: {"test", "unit_test"},
    DbtCommand.SEED: {"seed"},
    DbtCommand.SNAPSHOT: {"snapshot"},
    DbtCommand.BUILD: {"model", "test", "unit_test", "seed", "snapshot"},
}


def can_skip(command: DbtCommand) -> bool:
    """Whether what an earlier run did need not be done again."""
    return command in _TYPES


def select_rest(step: ResolvedTransform, listed: Sequence[Any]) -> list[str] | None:
    """Arguments that select what is left; None when everything is done.

    ``listed`` is what ``dbt list`` answers to :func:`list_arguments`.
    """
    done, types = set(step.done), _TYPES[step.step.command]
    names = []
    for line in listed:
        node = json.loads(line)
        if node["resource_type"] in types and node["unique_id"] not in done:
            names.append(str(node["name"]))
    if not names:
        return None
    # Without "empty" dbt adds the tests of a selected model, which may have passed.
    return ["--select", *sorted(names), "--indirect-selection", "empty"]


def list_arguments() -> list[str]:
    """For ``dbt list``: one JSON object a node."""
    return ["--output", "json", "--output-keys", "unique_id", "resource_type", "name"]
