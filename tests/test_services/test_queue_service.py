"""The queue names what each run waits for, in the order in which they start."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from datanika.contracts.enums import RunState
from datanika.db import SYSTEM, get_session
from datanika.models import Organization, Run
from datanika.services import readiness
from datanika.services.actor import Actor
from datanika.services.queue_service import (
    Queue,
    QueuedRun,
    QueueService,
    WaitReason,
    queued_runs,
    waits_by_reason,
)
from datanika.services.run_queue import startable_runs
from tests.support.channels import end_run
from tests.support.dependencies import claim, needs_fresh, place, succeed, trigger
from tests.support.pipelines import make_pipeline
from tests.support.tenants import make_tenant

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture(autouse=True)
def prefect(monkeypatch: pytest.MonkeyPatch) -> Any:
    """``prefect(up)`` decides whether Prefect answers; it does at first."""

    def answers(up: bool) -> None:
        async def ask() -> None:
            if not up:
                raise ConnectionError

        monkeypatch.setattr(readiness, "prefect_answers", ask)
        monkeypatch.setattr(readiness, "_last", None)

    answers(True)
    return answers


async def read(actor: Actor, limit: int = 100) -> Queue:
    async with get_session(actor.scope) as session:
        return await QueueService(session, actor).read(limit)


async def only(actor: Actor) -> QueuedRun:
    [one] = (await read(actor)).items
    return one


async def at_most(actor: Actor, limit: int | None) -> None:
    async with get_session(SYSTEM) as session:
        (await session.get_one(Organization, actor.org_id)).max_concurrent_runs = limit


async def submitted(run_id: int) -> None:
    async with get_session(SYSTEM) as session:
        (await session.get_one(Run, run_id)).flow_run_id = str(uuid.uuid4())


async def make(actor: Actor, *names: str) -> list[int]:
    return [(await make_pipeline(actor, name)).id for name in names]


async def test_a_run_that_nothing_holds_up_is_being_handed_over(actor: Actor) -> None:
    [orders] = await make(actor, "orders")
    run = await trigger(actor, orders)
    one = await only(actor)
    assert (one.run_id, one.position, one.reason) == (run.id, 1, WaitReason.WORKER)
    assert one.text == "It is being handed to Prefect."
    await submitted(run.id)
    one = await only(actor)
    assert one.reason is WaitReason.WORKER and one.since is not None
    assert "no worker has taken it yet" in one.text


@pytest.mark.parametrize("handed_over", [False, True])
async def test_without_prefect_it_says_so(actor: Actor, prefect: Any, handed_over: bool) -> None:
    [orders] = await make(actor, "orders")
    run = await trigger(actor, orders)
    if handed_over:
        await submitted(run.id)
    prefect(False)
    assert (await only(actor)).reason is WaitReason.PREFECT
    prefect(True)
    assert (await only(actor)).reason is WaitReason.WORKER


async def test_a_run_waits_for_the_one_before_it(actor: Actor) -> None:
    [orders] = await make(actor, "orders")
    first, second = await trigger(actor, orders), await trigger(actor, orders)
    await claim(actor, orders, first.id)
    one = await only(actor)
    assert (one.run_id, one.reason, one.waits_for_run_id) == (second.id, WaitReason.RUN, first.id)
    assert f"Run {first.id}" in one.text


async def test_a_run_waits_for_a_place_of_its_organisation(actor: Actor) -> None:
    await at_most(actor, 1)
    ids = await make(actor, "a", "b", "c")
    runs = [await trigger(actor, pipeline_id) for pipeline_id in ids]
    await claim(actor, ids[0], runs[0].id)
    queue = await read(actor)
    assert (queue.running, queue.active, queue.limit, queue.waiting) == (1, 1, 1, 2)
    assert [one.run_id for one in queue.items] == [runs[1].id, runs[2].id]
    assert {one.reason for one in queue.items} == {WaitReason.LIMIT}
    assert [one.text for one in queue.items] == [
        "1 of 1 runs of the organisation are under way.",
        "1 of 1 runs of the organisation are under way, and 1 more come first.",
    ]
    await at_most(actor, 2)
    assert [one.reason for one in (await read(actor)).items] == [
        WaitReason.WORKER,
        WaitReason.LIMIT,
    ]


async def test_a_run_waits_for_an_upstream(actor: Actor) -> None:
    orders, report = await make(actor, "orders", "report")
    await needs_fresh(actor, report, orders)
    run = await trigger(actor, report)
    one = await only(actor)
    assert (one.reason, one.waits_for_pipelines) == (WaitReason.UPSTREAM, ["orders"])
    assert one.waits_until == run.waits_until
    assert "orders has never succeeded" in one.text and "waits until" in one.text
    await succeed(actor, orders)
    assert (await only(actor)).reason is WaitReason.WORKER


async def test_the_order_is_that_in_which_they_start(actor: Actor) -> None:
    await at_most(actor, 2)
    orders, report, a, b, c = await make(actor, "orders", "report", "a", "b", "c")
    await needs_fresh(actor, report, orders)
    waiting = await trigger(actor, report)
    later = [await trigger(actor, a), await trigger(actor, a)]
    others = [await trigger(actor, b), await trigger(actor, c)]
    await submitted(later[0].id)
    queue = await read(actor)
    order = [later[0].id, others[0].id, others[1].id, later[1].id, waiting.id]
    assert [one.run_id for one in queue.items] == order
    assert [one.reason for one in queue.items] == [
        WaitReason.WORKER, WaitReason.WORKER, WaitReason.LIMIT, WaitReason.RUN, WaitReason.UPSTREAM,
    ]  # fmt: skip
    # What it says may start is what is started.
    async with get_session(SYSTEM) as session:
        assert list(await startable_runs(session, limit=10)) == [others[0].id]
    first_two = await read(actor, limit=2)
    assert (len(first_two.items), first_two.waiting) == (2, 5)
    assert await place(others[0].id)
    assert [one.run_id for one in (await read(actor)).items] == order


async def test_runs_that_have_begun_or_ended_are_not_in_the_queue(actor: Actor) -> None:
    [orders] = await make(actor, "orders")
    await end_run(actor, orders, RunState.FAILED)
    await claim(actor, orders, (await trigger(actor, orders)).id)
    queue = await read(actor)
    assert (queue.items, queue.waiting, queue.running) == ([], 0, 1)


async def test_an_organisation_sees_its_own_queue_and_operators_see_all(actor: Actor) -> None:
    neighbour = (await make_tenant("Other")).owner
    ours, theirs = await make(actor, "a", "b"), await make(neighbour, "c")
    runs = [await trigger(actor, one) for one in ours]
    runs.append(await trigger(neighbour, theirs[0]))
    await trigger(neighbour, theirs[0])
    assert {one.run_id for one in (await read(actor)).items} == {runs[0].id, runs[1].id}
    async with get_session(SYSTEM) as session:
        everybody = await queued_runs(session, limit=10)
        counts = await waits_by_reason(session)
    # The first of every organisation before anybody's second.
    assert [one.run_id for one in everybody][:3] == [runs[0].id, runs[2].id, runs[1].id]
    assert len({one.organization for one in everybody}) == 2
    assert {reason: count for reason, (count, _) in counts.items()} == {
        WaitReason.WORKER: 3, WaitReason.RUN: 1,
    }  # fmt: skip
