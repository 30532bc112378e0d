"""Settings of a table that cannot go together are refused when a pipeline is saved."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from datanika.compiler import compile_plan, explain_text
from datanika.contracts.shape import Filter
from datanika.contracts.spec import ConnectionRef, LoadStep, PipelineSpec, TableSpec
from datanika.errors import SpecError

MERGED: dict[str, Any] = {"write_disposition": "merge", "primary_key": ("id",)}
CONNECTIONS = {
    1: ConnectionRef(id=1, name="files", kind="files"),
    3: ConnectionRef(id=3, name="shop", kind="postgres"),
    2: ConnectionRef(id=2, name="warehouse", kind="postgres"),
}


def compiled(source_id: int = 1, **settings: Any) -> str:
    table = TableSpec.model_validate({"name": "t.csv", **settings})
    step = LoadStep(
        key="load", source_id=source_id, destination_id=2, target_schema="raw", tables=(table,)
    )
    return explain_text(compile_plan(PipelineSpec(steps=(step,)), CONNECTIONS, ()), "p")


@pytest.mark.parametrize(
    ("settings", "code", "field"),
    [
        ({"hash": ("a", "a")}, "column_hidden_twice", "mask"),
        ({"hash": ("a",), "mask": ({"column": "a"},)}, "column_hidden_twice", "mask"),
        (
            {"hash": ("at",), "cursor": {"column": "at"}, "write_disposition": "append"},
            "cursor_hidden",
            "cursor.column",
        ),
        ({**MERGED, "mask": ({"column": "id"},)}, "key_masked", "mask"),
        ({**MERGED, "hash": ("d",), "delete_column": "d"}, "delete_column_hidden", "delete_column"),
        ({"delete_column": "d"}, "delete_needs_merge", "delete_column"),
        ({"columns": ("a",), "hash": ("b",)}, "column_not_chosen", "hash"),
        ({"columns": ("a",), "mask": ({"column": "b"},)}, "column_not_chosen", "mask"),
        ({**MERGED, "columns": ("a",)}, "column_not_chosen", "primary_key"),
        (
            {**MERGED, "cursor": {"column": "at", "lag": 1, "lag_seconds": 1}},
            "lag_ambiguous",
            "cursor.lag",
        ),
        (
            {"write_disposition": "append", "cursor": {"column": "at", "lag": 1}},
            "lag_needs_merge",
            "cursor.lag_seconds",
        ),
    ],
)
def test_a_contradiction_is_named(settings: dict[str, Any], code: str, field: str) -> None:
    with pytest.raises(SpecError) as caught:
        compiled(**settings)
    assert (caught.value.code, caught.value.field) == (code, f"steps.0.tables.0.{field}")


def test_a_hashed_key_is_fine() -> None:
    assert "hashed id" in compiled(**MERGED, hash=("id",))


def test_the_plan_says_what_is_set() -> None:
    text = compiled(
        **MERGED,
        cursor={"column": "at", "lag_seconds": 60},
        columns=("id", "at", "mail", "card", "gone"),
        filters=({"column": "n", "operator": "in", "values": [1, 2]},),
        hash=("mail",),
        mask=({"column": "card"},),
        delete_column="gone",
        batch_rows=10,
        schema_contract={"columns": "freeze"},
        on_bad_row="quarantine",
    )
    assert (
        "t <- t.csv, merge on id, new rows by at; the last 60 s again; columns id, at, mail, card, "
        "gone; where n in (1, 2); hashed mail; masked card; deleted where gone; 10 rows at a time; "
        "schema: columns freeze; bad rows to quarantine"
    ) in text


@pytest.mark.parametrize(
    "one",
    [
        {"operator": "eq"},
        {"operator": "in"},
        {"operator": "in", "value": 1},
        {"operator": "eq", "values": [1]},
        {"operator": "eq", "value": 1, "values": [1]},
        {"operator": "is_null", "value": 1},
        {"operator": "like", "value": "x"},
        {"operator": "eq", "value": "\0"},
    ],
)
def test_a_filter_is_complete(one: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Filter.model_validate({"column": "a", **one})


CDC: dict[str, Any] = {"source_id": 3, "sync": "cdc", "write_disposition": "merge"}


@pytest.mark.parametrize(
    ("settings", "code", "field"),
    [
        ({**CDC, "source_id": 1}, "cdc_not_supported", "sync"),
        ({**CDC, "write_disposition": "append"}, "cdc_needs_merge", "write_disposition"),
        ({**CDC, "cursor": {"column": "at"}}, "cdc_setting_unsupported", "cursor"),
        ({**CDC, "hash": ("a",)}, "cdc_setting_unsupported", "hash"),
        ({**CDC, "on_bad_row": "quarantine"}, "cdc_setting_unsupported", "on_bad_row"),
        (
            {**CDC, "schema_contract": {"data_types": "freeze"}},
            "cdc_setting_unsupported",
            "schema_contract",
        ),
        ({"deletes": "soft"}, "deletes_need_cdc", "deletes"),
        ({**MERGED, "deletes": "soft", "cursor": {"column": "at"}}, "deletes_need_cdc", "deletes"),
        ({**MERGED, "deletes": "soft", "merge_strategy": "scd2"}, "deletes_ambiguous", "deletes"),
        ({**MERGED, "deletes": "soft", "on_bad_row": "quarantine"}, "deletes_ambiguous", "deletes"),
        (
            {**MERGED, "merge_strategy": "scd2", "delete_column": "gone"},
            "history_deletes_nothing",
            "delete_column",
        ),
    ],
)
def test_what_changes_cannot_do_is_named(settings: dict[str, Any], code: str, field: str) -> None:
    with pytest.raises(SpecError) as caught:
        compiled(**settings)
    assert (caught.value.code, caught.value.field) == (code, f"steps.0.tables.0.{field}")


def test_the_plan_says_that_changes_are_read() -> None:
    """The key is the source's own, so none needs to be named."""
    text = compiled(**CDC, deletes="soft")
    assert (
        "t <- t.csv, changes from the log (CDC), merged; "
        "deleted rows stay, marked in _deleted_at" in text
    )
