"""The states that a worker gives to flow runs whose process could not."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import httpx
import pytest

from datanika.execution.flow_process import BROKEN, PREFECT_AWAY, _is_prefect_away
from datanika.execution.launcher import LaunchEnd, LaunchResult, settle


@pytest.mark.parametrize("state", [BROKEN, PREFECT_AWAY])
async def test_a_flow_that_prefect_heard_no_end_of_is_crashed(
    state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Maintenance flows have no run that the control plane would try again."""
    proposed: list[Any] = []

    async def propose(client: object, state: Any, *, flow_run_id: object) -> None:
        proposed.append(state.type.value)

    monkeypatch.setattr("prefect.utilities.engine.propose_state", propose)
    prefect: Any = object()
    await settle(prefect, uuid4(), LaunchResult(end=LaunchEnd.CLOSED, message=state, pid=1))
    assert proposed == ["CRASHED"]


@pytest.mark.parametrize(
    ("error", "away"),
    [
        (httpx.ConnectError("refused"), True),
        (httpx.RemoteProtocolError("cut off"), True),
        (RuntimeError("Failed to reach API at http://127.0.0.1/api/"), True),
        (RuntimeError("something else"), False),
        (ValueError("a mistake of ours"), False),
        *(
            (
                httpx.HTTPStatusError(
                    "", request=httpx.Request("GET", "http://x"), response=httpx.Response(status)
                ),
                status >= 500,
            )
            for status in (404, 422, 500, 503)
        ),
    ],
)
def test_only_a_prefect_that_does_not_answer_is_away(error: Exception, away: bool) -> None:
    assert _is_prefect_away(error) is away
