"""The state machine of a run."""

from __future__ import annotations

import pytest

from datanika.contracts.enums import RunState
from datanika.contracts.run_states import TRANSITIONS, check_transition
from datanika.errors import IllegalTransition


@pytest.mark.parametrize("state", RunState)
def test_every_state_has_its_transitions(state: RunState) -> None:
    assert state in TRANSITIONS
    assert state.is_final == (not TRANSITIONS[state])


@pytest.mark.parametrize("state", [state for state in RunState if not state.is_final])
def test_every_unfinished_run_can_fail_and_be_cancelled(state: RunState) -> None:
    assert {RunState.FAILED, RunState.CANCELLED} <= TRANSITIONS[state]


@pytest.mark.parametrize("state", RunState)
def test_every_state_can_be_reached_from_queued(state: RunState) -> None:
    reached = {RunState.QUEUED}
    while new := {after for before in reached for after in TRANSITIONS[before]} - reached:
        reached |= new
    assert state in reached


@pytest.mark.parametrize("state", [state for state in RunState if state.is_final])
def test_a_run_that_is_over_stays_over(state: RunState) -> None:
    for target in RunState:
        with pytest.raises(IllegalTransition, match=str(state)):
            check_transition(state, target)


def test_a_new_attempt_takes_a_running_run_over() -> None:
    check_transition(RunState.RUNNING, RunState.STARTING)
    check_transition(RunState.STARTING, RunState.STARTING)
