"""What is left of a selection after some of its nodes were built: as ``dbt retry`` chooses.

A node that was built is never downstream of one that failed, so the rest is the failed nodes,
those that were skipped because of them, and those that a killed invocation never came to.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
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


def select_rest(step: ResolvedTransform, listed: Sequence[Any]) -> tuple[dict[str, str], set[str]]:
    """(names of the nodes that are left by unique id, all that the command takes).

    ``listed`` is what ``dbt list`` answers to :func:`list_arguments`.
    """
    nodes = [json.loads(line) for line in listed]
    names = {
        str(node["unique_id"]): str(node["name"])
        for node in nodes
        if node["resource_type"] in _TYPES[step.step.command]
    }
    done = set(step.done)
    return {one: name for one, name in names.items() if one not in done}, set(names)


def rest_arguments(names: Iterable[str]) -> list[str]:
    """Arguments that select what is called so, and nothing else."""
    # Without "empty" dbt adds the tests of a selected model, which may have passed.
    return ["--select", *sorted(names), "--indirect-selection", "empty"]


def list_arguments() -> list[str]:
    """For ``dbt list``: one JSON object a node."""
    return ["--output", "json", "--output-keys", "unique_id", "resource_type", "name"]
