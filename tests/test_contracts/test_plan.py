"""The plan's hash: the same for the same plan on every machine, different for a different one."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from datanika.contracts.plan import Plan, PlanLoad, PlanTransform
from datanika.contracts.shape import Filter, Mask, OnBadRow, SchemaContract
from datanika.contracts.spec import (
    ConnectionRef,
    IncrementalCursor,
    LoadStep,
    RetryPolicy,
    TableSpec,
    TransformStep,
)

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


def loads(**settings: object) -> Plan:
    cursor = IncrementalCursor(column="at", lag_seconds=5)
    tables = (
        TableSpec(name="a", target="a"),
        TableSpec(
            name="b",
            target="b",
            write_disposition="merge",
            primary_key=("id",),
            cursor=cursor,
            columns=("id", "at"),
        ).model_copy(update=settings),
    )
    step = LoadStep(key="l", source_id=1, destination_id=2, target_schema="raw", tables=tables)
    source = ConnectionRef(id=1, name="x", kind="files")
    planned = PlanLoad(step=step, source=source, destination=source)
    return Plan(steps=(planned,), stages=(("l",),))


def test_fields_that_came_later_leave_the_hashes_of_older_plans() -> None:
    """As commit 656c952 computed it."""
    before = "95356c7239e753fe5d7c61f9178a6971f3b64cc7862a67863fa2368c143fa347"
    assert loads().hash == before


@pytest.mark.parametrize(
    "change",
    [
        {"filters": (Filter(column="id", operator="not_null"),)},
        {"hash": ("id",)},
        {"mask": (Mask(column="id"),)},
        {"batch_rows": 5},
        {"delete_column": "gone"},
        {"schema_contract": SchemaContract(columns="freeze")},
        {"on_bad_row": OnBadRow.QUARANTINE},
        {"cursor": IncrementalCursor(column="at", lag_seconds=5, lag=1)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_setting_that_came_later_changes_the_hash(change: dict[str, object]) -> None:
    assert loads(**change).hash != loads().hash


def test_a_step_is_found_by_its_key() -> None:
    assert plan().get("marts").step.key == "marts"
    with pytest.raises(KeyError):
        plan().get("loads")
