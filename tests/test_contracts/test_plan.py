"""The plan's hash: the same for the same plan on every machine, different for a different one."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from datanika.contracts.plan import Plan, PlanTransform
from datanika.contracts.spec import ConnectionRef, RetryPolicy, TransformStep

SCRIPT = (
    "from datanika.contracts.plan import Plan\n"
    "import sys\n"
    "print(Plan.model_validate_json(sys.stdin.read()).hash)\n"
)


def plan(**changes: object) -> Plan:
    """A plan of one transform step."""
    step = TransformStep.model_validate({"key": "marts", "destination_id": 7, **changes})
    warehouse = ConnectionRef(id=7, name="warehouse", kind="postgres")
    planned = PlanTransform(step=step, destination=warehouse)
    return Plan(steps=(planned,), stages=(("marts",),))


@pytest.mark.parametrize("seed", ["0", "1"])
def test_the_hash_is_the_same_in_another_process(seed: str) -> None:
    elsewhere = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        input=plan().model_dump_json(),
        env={**os.environ, "PYTHONHASHSEED": seed},
        capture_output=True,
        text=True,
        check=True,
    )
    assert elsewhere.stdout.strip() == plan().hash


@pytest.mark.parametrize(
    "change",
    [
        {"select": ("tag:daily",)},
        {"full_refresh": True},
        {"retry": RetryPolicy(retries=0)},
        {"default_schema": "marts"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_change_changes_the_hash(change: dict[str, object]) -> None:
    assert plan(**change).hash != plan().hash


def test_a_step_is_found_by_its_key() -> None:
    assert plan().get("marts").step.key == "marts"
    with pytest.raises(KeyError):
        plan().get("loads")
