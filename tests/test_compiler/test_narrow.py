"""A run that does less than its pipeline: chosen steps, the rest of a failed run, an interval."""

from __future__ import annotations

import datetime as dt

import pytest

from datanika.compiler import Outcome, backfill_plan, explain_text, narrow_plan, resume_plan
from datanika.contracts.enums import DbtCommand
from datanika.contracts.enums import WriteDisposition as W
from datanika.contracts.overrides import Interval, RunOverrides
from datanika.contracts.plan import Plan, PlanLoad, PlanTransform
from datanika.contracts.spec import (
    ConnectionRef,
    IncrementalCursor,
    LoadStep,
    TableSpec,
    TransformStep,
)
from datanika.errors import InvalidInput, SpecError

WAREHOUSE = ConnectionRef(id=2, name="warehouse", kind="postgres")
AT = IncrementalCursor(column="at")
TABLES = (
    TableSpec(name="good", target="good", write_disposition=W.APPEND, cursor=AT),
    TableSpec(name="plain", target="plain"),
    TableSpec(name="uncut", target="uncut", write_disposition=W.APPEND),
)
JANUARY = Interval(
    start=dt.datetime(2024, 1, 1, tzinfo=dt.UTC), end=dt.datetime(2024, 2, 1, tzinfo=dt.UTC)
)


def load(key: str, *after: str, tables: tuple[TableSpec, ...] = TABLES) -> PlanLoad:
    step = LoadStep(
        key=key,
        source_id=1,
        destination_id=2,
        target_schema=f"raw_{key}",
        tables=tables,
        depends_on=after,
    )
    source = ConnectionRef(id=1, name="shop", kind="postgres")
    return PlanLoad(step=step, source=source, destination=WAREHOUSE)


def transform(key: str, *after: str) -> PlanTransform:
    return PlanTransform(
        step=TransformStep(key=key, destination_id=2, depends_on=after), destination=WAREHOUSE
    )


PLAN = Plan(
    steps=(load("a"), load("b"), transform("c", "a", "b"), transform("d", "c")),
    stages=(("a", "b"), ("c",), ("d",)),
    timeout_seconds=60,
)


def left_out(plan: Plan) -> dict[tuple[str, str], str]:
    return {(one.step_key, one.node): one.reason for one in plan.left_out}


def test_no_overrides_change_nothing() -> None:
    assert narrow_plan(PLAN, RunOverrides()) == PLAN


def test_chosen_steps_wait_through_what_is_left_out() -> None:
    plan = narrow_plan(PLAN, RunOverrides(steps=("d", "a")))
    assert plan.stages == (("a",), ("d",))
    assert plan.get("d").step.depends_on == ("a",)
    assert left_out(plan) == {("b", ""): "not_chosen", ("c", ""): "not_chosen"}
    assert plan.timeout_seconds == 60
    assert "Left out\n  b: Not among the steps" in explain_text(plan, "p")


def test_an_unknown_step_is_named_with_its_place() -> None:
    with pytest.raises(InvalidInput) as caught:
        narrow_plan(PLAN, RunOverrides(steps=("a", "nope")))
    assert (caught.value.code, caught.value.field) == ("unknown_step", "steps.1")


def test_a_full_refresh_is_of_every_step() -> None:
    plan = narrow_plan(PLAN, RunOverrides(full_refresh=True))
    assert [step.full_refresh for step in plan.steps if isinstance(step, PlanLoad)] == [True, True]
    assert all(s.step.full_refresh for s in plan.steps if isinstance(s, PlanTransform))
    assert plan.hash != PLAN.hash


def test_a_retry_does_what_did_not_succeed() -> None:
    ended = [
        Outcome("a", "", "a", "load", "succeeded"),
        Outcome("a", "raw_a.good", "good", "table", "succeeded"),
        Outcome("b", "", "b", "load", "failed"),
        Outcome("b", "raw_b.good", "good", "table", "succeeded"),
        Outcome("b", "raw_b.plain", "plain", "table", "failed"),
        Outcome("b", "raw_b.uncut", "uncut", "table", "skipped"),
        Outcome("c", "", "c", "transform", "skipped"),
        Outcome("d", "", "d", "transform", "skipped"),
    ]
    plan = resume_plan(PLAN, 12, ended)
    assert plan.stages == (("b",), ("c",), ("d",))
    b = plan.get("b")
    assert isinstance(b, PlanLoad)
    assert [table.target for table in b.step.tables] == ["plain", "uncut"]
    assert set(left_out(plan)) == {("a", ""), ("a", "raw_a.good"), ("b", "raw_b.good")}
    assert {one.run_id for one in plan.left_out} == {12}


def test_a_retry_of_a_retry_keeps_who_did_what() -> None:
    first = resume_plan(
        PLAN,
        12,
        [
            Outcome("a", "", "a", "load", "succeeded"),
            Outcome("c", "", "c", "transform", "failed"),
            Outcome("c", "model.x.one", "one", "model", "succeeded"),
            Outcome("c", "test.x.t", "t", "test", "warned"),
            Outcome("c", "model.x.two", "two", "model", "failed"),
        ],
    )
    c = first.get("c")
    assert isinstance(c, PlanTransform) and c.done == ("model.x.one", "test.x.t")
    second = resume_plan(
        first,
        13,
        [
            Outcome("a", "", "a", "load", "skipped"),
            Outcome("b", "", "b", "load", "succeeded"),
            Outcome("c", "", "c", "transform", "failed"),
            Outcome("c", "model.x.two", "two", "model", "succeeded"),
        ],
    )
    assert second.stages == (("c",), ("d",))
    again = second.get("c")
    assert isinstance(again, PlanTransform)
    assert again.done == ("model.x.one", "model.x.two", "test.x.t")
    who = {(one.step_key, one.node): one.run_id for one in second.left_out}
    assert who[("a", "")] == who[("c", "model.x.one")] == 12
    assert who[("b", "")] == who[("c", "model.x.two")] == 13


def test_a_step_that_was_stopped_after_its_last_table_is_not_loaded_again() -> None:
    ended = [Outcome("a", f"raw_a.{t.target}", t.name, "table", "succeeded") for t in TABLES]
    plan = resume_plan(PLAN, 12, [Outcome("a", "", "a", "load", "cancelled"), *ended])
    assert plan.stages[0] == ("b",)


def test_a_chunk_loads_what_has_a_cursor_and_says_what_it_leaves_out() -> None:
    plan = backfill_plan(PLAN, JANUARY, transforms=False)
    assert plan.stages == (("a", "b"),)
    a = plan.get("a")
    assert isinstance(a, PlanLoad) and a.interval == JANUARY
    assert [table.target for table in a.step.tables] == ["good"]
    notes = {one.node or one.step_key: one.note for one in plan.left_out}
    assert "replaced" in notes["raw_a.plain"] and "no cursor" in notes["raw_a.uncut"]
    assert left_out(plan)["c", ""] == "with_last_chunk"
    assert backfill_plan(PLAN, JANUARY, transforms=True).stages == PLAN.stages


def test_a_backfill_of_nothing_is_refused() -> None:
    plan = Plan(steps=(load("a", tables=TABLES[1:]), transform("c")), stages=(("a", "c"),))
    with pytest.raises(InvalidInput) as caught:
        backfill_plan(plan, JANUARY, transforms=True)
    assert caught.value.code == "nothing_to_backfill"


def test_what_dbt_does_is_changed_for_one_run() -> None:
    overrides = RunOverrides(
        command=DbtCommand.TEST, select=("b+", "a"), exclude=("tag:slow",), threads=8,
        fail_fast=True, store_failures=True,
    )  # fmt: skip
    plan = narrow_plan(PLAN, overrides)
    assert left_out(plan) == {("a", ""): "not_chosen", ("b", ""): "not_chosen"}
    step = plan.get("c").step
    assert isinstance(step, TransformStep)
    assert (step.command, step.select, step.exclude) == (
        DbtCommand.TEST, ("a", "b+"), ("tag:slow",),
    )  # fmt: skip
    assert (step.threads, step.fail_fast, step.store_failures) == (8, True, True)
    assert overrides.is_partial

    plan = narrow_plan(PLAN, RunOverrides(select=("a",), steps=("a", "c")))
    assert {planned.step.key for planned in plan.steps} == {"a", "c"}, "loads that were asked for"
    assert not RunOverrides(threads=4, fail_fast=True).is_partial
    assert narrow_plan(PLAN, RunOverrides(threads=4)).stages == PLAN.stages


def test_a_run_that_defers_builds_elsewhere_and_loads_nothing() -> None:
    plan = narrow_plan(PLAN, RunOverrides(defer=True, steps=("a", "c")), "dev_u5")
    [planned] = plan.steps
    assert isinstance(planned, PlanTransform)
    assert (planned.step.default_schema, planned.production_schema) == ("dev_u5", "analytics")
    assert left_out(plan).keys() == {("a", ""), ("b", ""), ("d", "")}


@pytest.mark.parametrize("selector", ["a b", "../x", "state:never", "$(x)"])
def test_a_selector_that_is_none_is_refused(selector: str) -> None:
    with pytest.raises(SpecError) as caught:
        narrow_plan(PLAN, RunOverrides(select=("good", selector)))
    assert (caught.value.code, caught.value.field) == ("selector_invalid", "select.1")


def test_dbt_has_nothing_to_do_in_a_pipeline_of_loads() -> None:
    loads = Plan(steps=(load("a"),), stages=(("a",),))
    with pytest.raises(InvalidInput) as caught:
        narrow_plan(loads, RunOverrides(command=DbtCommand.DOCS))
    assert caught.value.code == "nothing_to_transform"


def test_a_plan_of_before_keeps_its_hash() -> None:
    content = PLAN.model_dump(mode="json")
    assert "production_schema" in content["steps"][2]
    plain = {key: value for key, value in content["steps"][2].items()}
    del plain["production_schema"]
    assert (
        Plan.model_validate(
            {**content, "steps": [*content["steps"][:2], plain, content["steps"][3]]}
        ).hash
        == PLAN.hash
    )
