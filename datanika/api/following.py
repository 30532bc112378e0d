"""A run's log lines and progress as server-sent events
(https://html.spec.whatwg.org/multipage/server-sent-events.html).

A stream looks for what is new in a short transaction, each time proving again that its reader may,
and holds no connection while it waits.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Annotated, Final

from fastapi import APIRouter, Header, Query, Request, status
from fastapi.responses import StreamingResponse
from fastapi.sse import KEEPALIVE_COMMENT, format_sse_event
from starlette.types import Receive, Scope, Send

from datanika.api.deps import PROBLEMS, Id
from datanika.api.problems import RETRY_AFTER_SECONDS, problem_of
from datanika.api.transaction import ActorRoute, Caller, needs
from datanika.contracts.api import CURSOR_PATTERN, StreamedEvent
from datanika.db import get_session
from datanika.errors import DatanikaError, TooManyRequests
from datanika.services.actor import prove_again
from datanika.services.run_stream import Look, RunStream

POLL_SECONDS = 0.5
IDLE_SECONDS = 2.0
"""The longest pause between two looks at a run of which nothing is new."""
HEARTBEAT_SECONDS = 15.0
LONGEST_SECONDS = 1800.0
"""Then the reader has to come back, with a credential that is still good."""
STREAMS: Final = 50
"""How many one organisation may have open."""

router = APIRouter(prefix="/runs", tags=["runs"], responses=PROBLEMS, route_class=ActorRoute)
_PATTERN = f"^$|{CURSOR_PATTERN}"
Cursor = Annotated[
    str,
    Query(
        pattern=_PATTERN,
        description="Id of the last event that you have, or of the last log line.",
    ),
]
LastEventId = Annotated[
    str,
    Header(
        pattern=_PATTERN,
        description="The same, as browsers send it when they come back; wins over `after`.",
    ),
]
_EXAMPLE = """\
event: log
data: {"id":7,"at":"2026-03-01T06:00:01Z","level":"info","step_key":"load","node":null,\
"message":"reading orders.csv"}
id: 7

event: end
data: {"id":3,"pipeline_id":1,"pipeline_version_id":1,"state":"succeeded","trigger":"api",\
"triggered_by":1,"retry_of":null,"idempotency_key":"nightly","plan_hash":"5f0c","overrides":{},\
"ignores_dependencies":false,"waits_until":null,"backfill_id":null,"interval_start":null,\
"interval_end":null,"flow_run_id":null,"attempt":1,"rows":1234,"error_code":null,\
"error_message":null,"error_hint":null,"created_at":"2026-03-01T06:00:00Z",\
"scheduled_for":null,"schedule_id":null,"started_at":"2026-03-01T06:00:00Z",\
"finished_at":"2026-03-01T06:00:02Z"}
id: 7-0123456789abcdef

"""

_EVENT = {
    "type": "object",
    "description": "Each event of the stream.",
    "properties": {
        "event": {"type": "string", "enum": ["log", "step", "run", "end", "error"]},
        "data": {"type": "string", "contentMediaType": "application/json"},
        "id": {"type": "string", "pattern": CURSOR_PATTERN},
    },
    "required": ["event", "data"],
}

_open: Counter[int] = Counter()
"""Streams of each organisation. In this process' memory: exactly one serves."""


def _take_place(org_id: int) -> None:
    if _open[org_id] >= STREAMS:
        raise TooManyRequests(
            f"The organisation has {STREAMS} streams open.",
            code="too_many_streams",
            hint="Close one, or ask for /steps and /logs.",
            retry_after=RETRY_AFTER_SECONDS,
        )
    _open[org_id] += 1


def _give_back(org_id: int) -> None:
    _open[org_id] -= 1
    if not _open[org_id]:
        del _open[org_id]


class EventStream(StreamingResponse):
    """Gives back the place of its organisation when nobody reads it any more."""

    media_type = "text/event-stream"

    def __init__(self, frames: AsyncIterator[bytes], org_id: int) -> None:
        # Proxies of nginx's kind would keep the events until they have many.
        super().__init__(frames, headers={"X-Accel-Buffering": "no"})
        self._org_id = org_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            _give_back(self._org_id)


@router.get(
    "/{run_id}/events",
    status_code=status.HTTP_200_OK,
    response_class=EventStream,
    responses={
        200: {
            "description": "`log` (a `LogOut`), `step` (a `RunStepOut`), `run` and `end` "
            "(a `RunOut`), and `error` (a `Problem`) where the stream ends early.",
            "content": {"text/event-stream": {"schema": _EVENT, "example": _EXAMPLE}},
        }
    },
    **needs("run:read"),
)
async def follow_run(
    run_id: Id,
    request: Request,
    actor: Caller,
    after: Cursor = "",
    last_event_id: LastEventId = "",
    follow: Annotated[
        bool, Query(description="Wait for more until the run is over; else send what is there.")
    ] = True,
) -> EventStream:
    """Its log lines, steps and states as server-sent events while they happen.

    Every log line comes once, in its order, also across reconnections with `Last-Event-ID`.
    Steps and the run come as they are when they are looked at, again after a reconnection if one of
    them has changed. After `end` there is nothing more: close. A stream is closed after half an
    hour, or when you may no longer read the run (`error`).
    """
    stream = RunStream(run_id, last_event_id or after or None)

    async def look() -> Look:
        async with get_session(actor.scope) as session:
            return await stream.look(session, await prove_again(session, actor))

    _take_place(actor.org_id)
    try:
        # Before the answer begins: a run that does not exist is a 404.
        first = await look()
    except BaseException:
        _give_back(actor.org_id)
        raise
    return EventStream(_frames(first, look, request.scope, follow), actor.org_id)


async def _frames(
    found: Look, look: Callable[[], Awaitable[Look]], scope: Scope, follow: bool
) -> AsyncIterator[bytes]:
    began = spoke = time.monotonic()
    pause = POLL_SECONDS
    while True:
        for event in found.events:
            yield _frame(event)
            spoke = time.monotonic()
        if found.is_over or not (follow or found.has_more):
            return
        if time.monotonic() - began >= LONGEST_SECONDS:
            return
        if time.monotonic() - spoke >= HEARTBEAT_SECONDS:
            yield KEEPALIVE_COMMENT
            spoke = time.monotonic()
        if not found.has_more:
            pause = POLL_SECONDS if found.events else min(pause * 1.2, IDLE_SECONDS)
            await asyncio.sleep(pause)
        try:
            found = await look()
        except DatanikaError as error:
            problem = problem_of(scope, error).model_dump_json(exclude_none=True)
            yield format_sse_event(event="error", data_str=problem)
            return


def _frame(event: StreamedEvent) -> bytes:
    return format_sse_event(event=event.event, data_str=event.data.model_dump_json(), id=event.id)
