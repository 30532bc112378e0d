"""A run's line to the control plane: its plan, its steps, its events, its end."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from enum import StrEnum
from types import TracebackType
from typing import Self

from pydantic import BaseModel, TypeAdapter

from datanika.contracts.events import RunClaim, RunEvent, RunFinish
from datanika.contracts.plan import Plan
from datanika.contracts.steps import ResolvedStep
from datanika.errors import Conflict, DatanikaError
from datanika.execution.internal_api import InternalApi, parse

BATCH_SECONDS = 0.2
BATCH_EVENTS = 500
MAX_WAITING_EVENTS = 20_000
HEARTBEAT_SECONDS = 1.5
"""Also the longest that a cancel request stays unseen by a quiet run, which promises to end within
5 seconds of it."""


class StopReason(StrEnum):
    """Why a run has to stop before its plan is done."""

    CANCELLED = "cancelled"
    SUPERSEDED = "superseded"
    REFUSED = "refused"
    TIMED_OUT = "timed_out"
    WORKER_GONE = "worker_gone"


class _EventsAnswer(BaseModel):
    cancel_requested: bool = False


_PLAN = TypeAdapter(Plan)
_STEP: TypeAdapter[ResolvedStep] = TypeAdapter(ResolvedStep)
_ANSWER = TypeAdapter(_EventsAnswer)


class RunClient:
    """Speaks for one attempt of one run, with the token of its claim.

    Events are sent in order and in batches by one background task, which is also the heartbeat.
    Entering starts it; leaving stops it without sending what is left: call :meth:`finish`.
    """

    def __init__(self, claim: RunClaim, api: InternalApi) -> None:
        self.claim = claim
        self.finished = False
        self.stopping = asyncio.Event()
        self.stop_reason: StopReason | None = None
        self._api = api
        self._path = f"runs/{claim.run_id}"
        self._waiting: list[RunEvent] = []
        self._wake = asyncio.Event()
        self._hurry = asyncio.Event()
        self._sent = asyncio.Condition()
        self._sending = False
        self._sender: asyncio.Task[None] | None = None
        self._failure: DatanikaError | None = None

    async def __aenter__(self) -> Self:
        self._sender = asyncio.create_task(self._send_forever(), name="run-events")
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._sender is not None:
            self._sender.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._sender

    def stop(self, reason: StopReason) -> None:
        """Ask the flow to stop; the first reason counts."""
        if self.stop_reason is None:
            self.stop_reason = reason
            self.stopping.set()

    async def plan(self) -> Plan:
        """The plan this run was accepted with."""
        return parse(_PLAN, await self._get("plan"), "plan")

    async def resolve(self, step_key: str) -> ResolvedStep:
        """One step with its credentials. Give it to an engine and forget it."""
        return parse(_STEP, await self._get(f"steps/{step_key}"), "step")

    async def record(self, event: RunEvent) -> None:
        """Queue an event. Waits when the control plane has been away for long.

        :raises DatanikaError: the control plane refused this run's events for good.
        """
        async with self._sent:
            await self._sent.wait_for(
                lambda: len(self._waiting) < MAX_WAITING_EVENTS or self._failure is not None
            )
        if self._failure is not None:
            raise self._failure
        self._waiting.append(event)
        self._wake.set()

    async def finish(self, result: RunFinish) -> None:
        """Send every waiting event, then close the run. A second call does nothing.

        A superseded attempt says nothing: the run belongs to another process.
        """
        if self.finished or self.stop_reason is StopReason.SUPERSEDED:
            return
        self._hurry.set()
        async with self._sent:
            await self._sent.wait_for(
                lambda: not (self._waiting or self._sending) or self._failure is not None
            )
        with self._fence():
            await self._api.request("POST", f"{self._path}/finish", _json(result))
        self.finished = True

    async def _get(self, path: str) -> bytes:
        with self._fence():
            return await self._api.request("GET", f"{self._path}/{path}")

    async def _send_forever(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(HEARTBEAT_SECONDS):
                    await self._wake.wait()
            self._wake.clear()
            batch = self._waiting[:BATCH_EVENTS]
            del self._waiting[:BATCH_EVENTS]
            self._sending = True
            try:
                await self._send(batch)
            except DatanikaError as error:
                self._failure = error
                self.stop(StopReason.REFUSED)
                return
            finally:
                self._sending = False
                async with self._sent:
                    self._sent.notify_all()
            if self._waiting:
                self._wake.set()
            if len(self._waiting) < BATCH_EVENTS:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(BATCH_SECONDS):
                        await self._hurry.wait()

    async def _send(self, batch: list[RunEvent]) -> None:
        body = {"events": [_json(event) for event in batch]}
        with self._fence():
            content = await self._api.request("POST", f"{self._path}/events", body)
        if parse(_ANSWER, content, "answer to events").cancel_requested:
            self.stop(StopReason.CANCELLED)

    @contextlib.contextmanager
    def _fence(self) -> Iterator[None]:
        try:
            yield
        except Conflict as error:
            if error.code == "stale_attempt":
                self.stop(StopReason.SUPERSEDED)
            raise


def _json(model: BaseModel) -> object:
    return model.model_dump(mode="json")
