"""Events survive the pipe, and a claim does not show its token."""

from __future__ import annotations

import typing

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from datanika.contracts.base import Contract
from datanika.contracts.enums import LogLevel
from datanika.contracts.events import (
    CursorMoved,
    LogLine,
    RunClaim,
    RunEvent,
    StepStarted,
    run_event,
)

EVENTS: tuple[type[BaseModel], ...] = typing.get_args(typing.get_args(RunEvent)[0])


@pytest.mark.parametrize("event", EVENTS, ids=lambda cls: cls.__name__)
@given(data=st.data())
def test_an_event_is_one_line_of_json_and_comes_back_the_same(
    event: type[BaseModel], data: st.DataObject
) -> None:
    texts = st.text(st.characters(codec="utf-8"), max_size=30)
    fields = {
        name: data.draw(texts)
        for name, field in event.model_fields.items()
        if field.annotation is str
    }
    numbers = {name: 1 for name, field in event.model_fields.items() if field.annotation is int}
    states: dict[str, typing.Any] = {"state": "succeeded"} if "state" in event.model_fields else {}
    if event is CursorMoved:
        states = {"state": {"last_value": "1"}, "value": "1"}
    whole: dict[str, typing.Any] = {
        name: {}
        for name, field in event.model_fields.items()
        if isinstance(field.annotation, type) and issubclass(field.annotation, Contract)
    }
    sent = event.model_validate({**fields, **numbers, **states, **whole})
    line = sent.model_dump_json()
    assert "\n" not in line
    assert run_event.validate_json(line) == sent


def test_an_unknown_event_is_refused() -> None:
    with pytest.raises(ValidationError):
        run_event.validate_python({"type": "shell", "step_key": "load", "message": "ls"})


def test_an_unknown_field_is_refused() -> None:
    with pytest.raises(ValidationError):
        LogLine(step_key="load", message="hello", levle=LogLevel.INFO)  # type: ignore[call-arg]


def test_an_event_carries_its_zone() -> None:
    assert StepStarted(step_key="load", attempt=1).at.utcoffset() is not None


def test_a_claim_does_not_show_its_token() -> None:
    claim = RunClaim(run_id=1, org_id=1, pipeline_id=1, attempt=1, token="canary")
    assert "canary" not in repr(claim)
