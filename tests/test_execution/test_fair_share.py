"""Who comes next when more is due than a worker has room for."""

from __future__ import annotations

from datanika.execution.fair_share import FairShare


def test_the_first_of_every_organisation_comes_before_anybodys_second() -> None:
    due = [(1, "a1"), (1, "a2"), (1, "a3"), (2, "b1"), (3, "c1"), (2, "b2")]
    assert FairShare().order(due, {}) == ["a1", "b1", "c1", "a2", "b2", "a3"]


def test_what_an_organisation_runs_already_counts() -> None:
    due = [(1, "a1"), (2, "b1"), (2, "b2")]
    assert FairShare().order(due, {1: 1}) == ["b1", "a1", "b2"]


def test_among_equals_the_longest_waiting_comes_first() -> None:
    assert FairShare().order([(2, "b1"), (1, "a1")], {}) == ["b1", "a1"]


def test_the_platforms_own_runs_wait_for_no_tenant() -> None:
    assert FairShare().order([(1, "a1"), (None, "reconcile")], {}) == ["reconcile", "a1"]


def test_who_has_had_less_since_they_wait_comes_first() -> None:
    share = FairShare()
    due = [(1, "a1"), (1, "a2"), (1, "a3"), (2, "b1"), (2, "b2"), (3, "c1")]
    order = []
    while due:
        # One place, and what gets it is over at once.
        chosen = share.order(due, {})[0]
        [taken] = [one for one in due if one[1] == chosen]
        share.served(taken[0])
        due.remove(taken)
        order.append(chosen)
    assert order == ["a1", "b1", "c1", "a2", "b2", "a3"]


def test_a_newcomer_has_no_claim_on_the_time_before() -> None:
    share = FairShare()
    due = [(1, "a1"), (2, "b1")]
    share.order(due, {})
    for _ in range(100):
        share.served(1)
        share.served(2)
    assert share.order([*due, (3, "c1"), (3, "c2"), (3, "c3")], {}) == [
        "a1", "b1", "c1", "c2", "c3",
    ]  # fmt: skip
