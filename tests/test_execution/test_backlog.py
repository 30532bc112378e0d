"""What a full worker remembers of the queue."""

from __future__ import annotations

import uuid
from types import SimpleNamespace
from typing import Any

import pytest

from datanika.execution.backlog import FRESH_SECONDS, Backlog


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def due(count: int) -> list[Any]:
    return [SimpleNamespace(flow_run=SimpleNamespace(id=uuid.uuid4())) for _ in range(count)]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def backlog(clock: Clock) -> Backlog:
    return Backlog(clock)


def test_what_was_not_taken_need_not_be_asked_for_again(backlog: Backlog) -> None:
    first, second, third = found = due(3)
    backlog.replace(found)
    backlog.take_away({first.flow_run.id})
    assert backlog.fresh() == [second, third]
    backlog.take_away({second.flow_run.id, third.flow_run.id})
    assert backlog.fresh() == []
    assert not backlog.may_hold_more


def test_prefect_is_asked_again_after_a_while(backlog: Backlog, clock: Clock) -> None:
    backlog.replace(due(3))
    clock.now = FRESH_SECONDS + 0.1
    assert backlog.fresh() == []
    assert backlog.may_hold_more


def test_a_nudge_makes_what_is_known_old(backlog: Backlog) -> None:
    """Also where the worker was full when it came, and nothing else was due."""
    backlog.replace([])
    assert not backlog.may_hold_more
    backlog.outdate()
    assert backlog.may_hold_more
    backlog.replace(due(2))
    backlog.outdate()
    assert backlog.fresh() == []


def test_before_the_first_look_nothing_is_known(backlog: Backlog) -> None:
    assert backlog.fresh() == []
    assert backlog.may_hold_more
