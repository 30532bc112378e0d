"""Notification channels, runs that end, and a server that receives what is sent."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from datanika.contracts.enums import RunState
from datanika.contracts.events import Failure, utcnow
from datanika.contracts.notifications import ChannelKind
from datanika.db import SYSTEM, get_session
from datanika.models import NotificationChannel, NotificationDelivery, Run
from datanika.services.actor import Actor
from datanika.services.notification_service import NotificationService
from datanika.services.run_lifecycle import close_run
from datanika.services.run_service import RunService
from tests.support.serving import serving

ENDS = ["run.failed", "run.recovered", "run.succeeded", "run.cancelled"]


@dataclass
class Received:
    """One request, as it came."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Receiver:
    """Answers ``status`` with ``headers``, and remembers what it got."""

    url: str = ""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    got: list[Received] = field(default_factory=list)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        self.got.append(Received(scope["path"], headers, body))
        # An echo: what a receiver says must not get into our records.
        answer = [(name.encode(), value.encode()) for name, value in self.headers.items()]
        await send({"type": "http.response.start", "status": self.status, "headers": answer})
        await send({"type": "http.response.body", "body": scope["path"].encode() + body})


@asynccontextmanager
async def receiving(status: int = 200, **headers: str) -> AsyncIterator[Receiver]:
    """A receiver on this machine's loopback."""
    receiver = Receiver(status=status, headers=headers)
    async with serving(receiver) as receiver.url:
        yield receiver


async def make_channel(
    actor: Actor,
    url: str = "https://hooks.example.com/x",
    events: list[str] | None = None,
    pipeline_ids: tuple[int, ...] = (),
    kind: ChannelKind = ChannelKind.WEBHOOK,
    config: dict[str, Any] | None = None,
) -> tuple[NotificationChannel, str | None]:
    """A new channel and its signing secret."""
    async with get_session(actor.scope) as session:
        return await NotificationService(session, actor).create(
            f"channel {uuid4().hex[:8]}", kind, config or {"url": url}, events or ENDS, pipeline_ids
        )


async def end_run(actor: Actor, pipeline_id: int, state: RunState) -> int:
    """A run of the pipeline that ended so; its id."""
    async with get_session(actor.scope) as session:
        run_id = (await RunService(session, actor).trigger(pipeline_id, uuid4().hex)).id
    failure = Failure(code="boom", message="It broke.", hint="Mend it.")
    async with get_session(SYSTEM) as session:
        run = await session.get_one(Run, run_id)
        run.state = RunState.RUNNING.value
        run.started_at = utcnow()
        await close_run(session, run, state, failure if state is RunState.FAILED else None)
    return run_id


async def deliveries(actor: Actor) -> list[NotificationDelivery]:
    """The organisation's, the oldest first."""
    from sqlalchemy import select

    async with get_session(SYSTEM) as session:
        query = select(NotificationDelivery).where(NotificationDelivery.org_id == actor.org_id)
        return list(await session.scalars(query.order_by(NotificationDelivery.id)))
