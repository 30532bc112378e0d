"""What the editor's form becomes, and what it offers."""

from __future__ import annotations

import pytest

from datanika.compiler.project import resolve_references
from datanika.contracts.ad_hoc import ResultColumn, RowsResult
from datanika.contracts.api.projects import (
    CompletionMacro,
    CompletionOut,
    CompletionRelation,
    CompletionSource,
)
from datanika.contracts.dbt import Constraint
from datanika.contracts.enums import TransformationKind
from datanika.contracts.spec import ColumnSpec, TransformationSpec
from datanika.errors import InvalidInput
from datanika.models import Transformation
from datanika.ui.views.transformations import (
    ColumnRow,
    column_rows,
    completions_of,
    first_spec,
    grid_of,
    spec_of_form,
    transformation_row,
    transformation_view,
)

OLD = TransformationSpec(
    name="orders",
    destination_id=1,
    sql="select 1 as id",
    materialization="incremental",
    unique_key=("id",),
    target_schema="marts",
    tags=("a", "b"),
    description="Orders.",
    alias="orders_v2",
    meta={"owner": "ada@example.com"},
    columns=(
        ColumnSpec(
            name="id",
            tests=("unique", {"accepted_values": {"values": [1, 2], "quote": False}}),
            constraints=(Constraint(type="not_null"),),
        ),
    ),
    tests=({"dbt_utils.recency": {"field": "at", "interval": 1}},),
)


def row_of(spec: TransformationSpec) -> Transformation:
    return Transformation(
        id=7, org_id=1, name=spec.name, kind=spec.kind, destination_id=1,
        description=spec.description, spec=spec.model_dump(mode="json"), revision=3,
    )  # fmt: skip


def form_of(spec: TransformationSpec) -> dict[str, object]:
    """What the browser sends of an untouched form."""
    view = transformation_view(row_of(spec), "warehouse")
    form: dict[str, object] = {
        name: getattr(view, name)
        for name in (
            "target_schema", "unique_key", "description", "tags", "tests", "settings", "enabled",
            "contract_enforced", "incremental_strategy", "on_schema_change",
        )
    }  # fmt: skip
    form |= {"sql": spec.sql, "materialization": spec.materialization}
    for column in column_rows(spec.columns):
        form |= {
            f"column_name_{column.key}": column.name,
            f"column_type_{column.key}": column.data_type,
            f"column_description_{column.key}": column.description,
            f"column_tests_{column.key}": column.tests,
        }
    return form


def test_an_untouched_form_saves_what_was_there() -> None:
    assert spec_of_form(form_of(OLD), OLD, column_rows(OLD.columns)) == OLD


def test_a_form_changes_what_it_says_and_keeps_the_rest() -> None:
    form = form_of(OLD) | {
        "column_name_0": "order_id",
        "column_tests_0": "not_null, {relationships: {to: ref('x'), field: id}}",
        "tags": " nightly ,, money",
        "settings": "alias: orders_v3",
    }
    columns = [*column_rows(OLD.columns), ColumnRow(key="9", name="amount"), ColumnRow(key="10")]
    new = spec_of_form(form, OLD, columns)
    assert [column.name for column in new.columns] == ["order_id", "amount"]
    assert new.columns[0].constraints == OLD.columns[0].constraints
    assert new.columns[0].tests[1] == {"relationships": {"to": "ref('x')", "field": "id"}}
    assert (new.tags, new.alias, new.meta) == (("nightly", "money"), "orders_v3", {})


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"settings": "a: ["}, "settings"),
        ({"settings": "- list"}, "settings"),
        ({"settings": "sql: select 2"}, "settings"),
        ({"settings": "no_such: 1"}, "settings"),
        ({"settings": "seed: {delimiter: two}"}, "seed.delimiter"),
        ({"column_tests_0": "{open"}, "columns.id.tests"),
        ({"target_schema": "Not Good"}, "target_schema"),
    ],
)
def test_what_does_not_fit_names_its_field(change: dict[str, object], field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        spec_of_form(form_of(OLD) | change, OLD, column_rows(OLD.columns))
    assert caught.value.field == field


@pytest.mark.parametrize("kind", list(TransformationKind))
def test_every_new_kind_can_be_saved_as_it_begins(kind: TransformationKind) -> None:
    spec = first_spec("first", kind.value, 1)
    resolve_references({spec.name: spec})
    assert spec_of_form(form_of(spec), spec, column_rows(spec.columns)) == spec


def test_a_row_counts_every_test() -> None:
    row = transformation_row(row_of(OLD), "warehouse")
    assert (row.tests, row.materialization, row.href) == (3, "incremental", "/transformations/7")
    assert transformation_row(row_of(first_spec("m", "macro", 1)), "").materialization == ""


def test_columns_are_offered_of_what_the_text_reads() -> None:
    known = CompletionOut(
        refs=(
            CompletionRelation(name="stg", kind="model", columns=("id", "amount")),
            CompletionRelation(name="other", kind="seed", columns=("secret",)),
        ),
        sources=(CompletionSource(source="raw", table="orders", columns=("note",)),),
        macros=(CompletionMacro(name="cents", arguments="column"),),
    )
    offered = completions_of(known, "select * from {{ ref('stg') }}")
    assert [(one["label"], one.get("call")) for one in offered] == [
        ("stg", "ref('stg')"),
        ("other", "ref('other')"),
        ("raw.orders", "source('raw', 'orders')"),
        ("cents", "cents()"),
        ("id", None),
        ("amount", None),
    ]


def test_a_grid_is_short_texts_and_says_what_it_left_out() -> None:
    names = tuple(ResultColumn(name=f"c{n}", data_type="text") for n in range(60))
    row = (None, True, "x" * 500, *range(57))
    grid = grid_of(RowsResult(columns=names, rows=(row,)))
    assert (len(grid.columns), len(grid.rows[0]), grid.is_truncated) == (40, 40, True)
    assert grid.rows[0][:2] == [None, "true"]
    assert len(grid.rows[0][2] or "") <= 160
