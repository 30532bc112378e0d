"""Who comes next when more is due than a worker has room for."""

from __future__ import annotations

from datanika.execution.fair_share import fair_order


def test_the_first_of_every_organisation_comes_before_anybodys_second() -> None:
    due = [(1, "a1"), (1, "a2"), (1, "a3"), (2, "b1"), (3, "c1"), (2, "b2")]
    assert fair_order(due, {}) == ["a1", "b1", "c1", "a2", "b2", "a3"]


def test_what_an_organisation_runs_already_counts() -> None:
    due = [(1, "a1"), (2, "b1"), (2, "b2")]
    assert fair_order(due, {1: 1}) == ["b1", "a1", "b2"]


def test_among_equals_the_longest_waiting_comes_first() -> None:
    assert fair_order([(2, "b1"), (1, "a1")], {}) == ["b1", "a1"]


def test_the_platforms_own_runs_wait_for_no_tenant() -> None:
    assert fair_order([(1, "a1"), (None, "reconcile")], {}) == ["reconcile", "a1"]
