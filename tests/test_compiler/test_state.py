"""state:modified becomes the names of what is not as it was built."""

from __future__ import annotations

from typing import Any

import pytest

from datanika.compiler import compile_plan
from datanika.compiler.state import NOTHING, resolve_states
from datanika.contracts.plan import Plan, PlanTransform
from datanika.contracts.spec import (
    ConnectionRef,
    PipelineSpec,
    TransformationSpec,
    TransformStep,
)
from datanika.errors import SpecError

CONNECTIONS = {2: ConnectionRef(id=2, name="dwh", kind="duckdb")}


def spec(name: str, sql: str = "select 1 as a", **more: Any) -> TransformationSpec:
    return TransformationSpec.model_validate({"name": name, "destination_id": 2, "sql": sql} | more)


MACRO = spec("m", "{% macro m() %}1{% endmacro %}", kind="macro")
FIRST = (
    spec("base"),
    spec("below", "select * from {{ ref('base') }}"),
    spec("loaded", "select * from {{ source('raw', 'orders') }}"),
    MACRO,
)


def plan(*specs: TransformationSpec, select: tuple[str, ...] = ("state:modified+",)) -> Plan:
    step = TransformStep(key="t", destination_id=2, select=select)
    return compile_plan(PipelineSpec(steps=(step,)), CONNECTIONS, specs)


def selected(
    now: tuple[TransformationSpec, ...],
    before: tuple[TransformationSpec, ...] | None = FIRST,
    select: tuple[str, ...] = ("state:modified+",),
) -> tuple[str, ...]:
    built = {}
    if before is not None:
        [planned] = plan(*before).steps
        assert isinstance(planned, PlanTransform)
        built = {"t": planned}
    [resolved] = resolve_states(plan(*now, select=select), built).steps
    assert isinstance(resolved, PlanTransform)
    return resolved.step.select


def test_what_changed_and_what_is_new_is_named_with_its_operators() -> None:
    changed = (spec("base", "select 2 as a"), *FIRST[1:], spec("fresh"))
    assert selected(changed) == ("base+", "fresh+")
    assert selected(changed, select=("state:new",)) == ("fresh",)
    assert selected(changed, select=("1+state:modified,tag:x", "loaded")) == (
        "1+base,tag:x",
        "1+fresh,tag:x",
        "loaded",
    )
    assert selected(changed, select=("state:unmodified",)) == ("below", "loaded")


def test_nothing_is_selected_when_nothing_changed_and_all_when_nothing_was_built() -> None:
    assert selected(FIRST) == (NOTHING,)
    assert selected(FIRST, before=None) == ("base+", "below+", "loaded+")


def test_a_macro_changes_all_and_a_source_those_that_read_sources() -> None:
    macro = spec("m", "{% macro m() %}2{% endmacro %}", kind="macro")
    assert selected((*FIRST[:3], macro)) == ("base+", "below+", "loaded+")
    assert selected(FIRST[:3]) == ("base+", "below+", "loaded+")
    source = spec("s", "", kind="source", source={"source": "raw"})
    assert selected((*FIRST, source)) == ("loaded+",)


def test_documentation_is_a_change_and_a_state_that_is_none_is_refused() -> None:
    assert selected((spec("base", meta={"a": 1}), *FIRST[1:])) == ("base+",)
    with pytest.raises(SpecError) as refused:
        plan(*FIRST, select=("state:odd",))
    assert refused.value.code == "selector_invalid"
