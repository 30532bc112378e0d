"""A run beside the last good one: what is new, gone, slower, or has other rows."""

from __future__ import annotations

from typing import Any

import pytest

from datanika.contracts.events import Failure
from datanika.db import get_session
from datanika.errors import NotFound
from datanika.models import RunStep
from datanika.services.run_comparison import Verdict, compare_with_last_good, differences
from tests.support import story as stories


def step(key: str, node: str = "", **values: Any) -> RunStep:
    given = {"name": node, "kind": "table", "state": "succeeded", "details": {}, **values}
    return RunStep(step_key=key, node=node, **given)


def test_what_changed_is_named() -> None:
    before = [
        step("load", duration_seconds=10.0, rows=100),
        step("load", "raw.a", duration_seconds=2.0, rows=50),
        step("load", "raw.b", duration_seconds=2.0, rows=50),
        step("load", "raw.c", duration_seconds=9.0),
        step("load", "raw.old", duration_seconds=1.0),
        step("load", "test.x", kind="test"),
    ]
    now = [
        step("load", duration_seconds=10.2, rows=100),
        step("load", "raw.a", duration_seconds=5.0, rows=50),
        step("load", "raw.b", duration_seconds=2.0, rows=3, finished_at=stories.utcnow()),
        step("load", "raw.c", duration_seconds=1.0),
        step("load", "raw.new", duration_seconds=1.0),
        step("load", "raw.bad", state="failed"),
        step("load", "test.y", kind="test", state="failed"),
    ]
    found = differences(now, before)
    assert {one.name or one.step_key: one.verdict for one in found} == {
        "load": Verdict.SAME,
        "raw.a": Verdict.SLOWER,
        "raw.b": Verdict.FEWER_ROWS,
        "raw.c": Verdict.FASTER,
        "raw.new": Verdict.NEW,
        "raw.bad": Verdict.FAILED,
        "raw.old": Verdict.GONE,
    }
    assert next(one for one in found if one.node == "raw.a").ratio == 2.5


def test_what_a_step_did_not_come_to_is_not_gone() -> None:
    now = [step("load", state="failed"), step("dbt", state="skipped")]
    before = [step("load"), step("load", "raw.a"), step("dbt"), step("dbt", "m"), step("old")]
    assert [(one.step_key, one.verdict) for one in differences(now, before)] == [
        ("load", Verdict.FAILED),
        ("dbt", Verdict.NOT_RUN),
        ("load", Verdict.NOT_RUN),
        ("dbt", Verdict.NOT_RUN),
        ("old", Verdict.GONE),
    ]


def test_what_a_retry_leaves_out_is_not_gone() -> None:
    kept = step("load", "raw.a", state="skipped", details={"left_out": "done"})
    assert [one.node for one in differences([step("load"), kept], [step("load", "raw.a")])] == [""]


@pytest.mark.usefixtures("database")
async def test_the_last_whole_run_before_that_succeeded_is_the_measure() -> None:
    story = await stories.make_story()
    good = await stories.whole_run(story)
    failed = await stories.start_run(story)
    await stories.play(story, failed, stories.load_events(stories.utcnow(), until="flights"))
    await stories.finish(story, failed, Failure(code="source_unreachable", message="Gone."))
    later = await stories.whole_run(story)
    eve = await stories.register(stories.new_email(), "Eve's")
    async with get_session(story.actor.scope) as session:
        found = await compare_with_last_good(session, story.actor, failed)
        assert found.other is not None and found.other.id == good
        assert {one.name for one in found.lines if one.verdict is Verdict.FAILED} >= {"raw.flights"}
        newest = await compare_with_last_good(session, story.actor, later)
        assert newest.other is not None and newest.other.id == good
        first = await compare_with_last_good(session, story.actor, good)
        assert first.other is None and first.lines == ()
    async with get_session(eve.scope) as session:
        with pytest.raises(NotFound):
            await compare_with_last_good(session, eve, failed)
