"""What a flow run holds while it works: its line to the control plane and its engine host.

It reaches the flow through a context variable, because a flow's parameters are stored by Prefect
and may hold ids only.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Protocol

from datanika.contracts.events import RunEvent
from datanika.contracts.steps import ResolvedLoad, ResolvedTransform
from datanika.execution.internal_api import WorkerApi
from datanika.execution.run_client import RunClient
from datanika.execution.sandbox import StepLimits


class EngineHost(Protocol):
    """Runs one resolved step in an engine child and streams its redacted events.

    Closing the iterator kills the child and everything it started.
    """

    def run(
        self,
        step: ResolvedLoad | ResolvedTransform,
        *,
        timeout_seconds: float,
        limits: StepLimits,
    ) -> AsyncIterator[RunEvent]: ...


@dataclass(frozen=True)
class RunSession:
    client: RunClient
    host: EngineHost
    limits: StepLimits = field(default_factory=StepLimits)


_session: ContextVar[RunSession] = ContextVar("datanika_run_session")
_worker_api: ContextVar[WorkerApi] = ContextVar("datanika_worker_api")


def current_session() -> RunSession:
    """The session of the run that this code is part of; LookupError outside of one."""
    return _session.get()


def current_worker_api() -> WorkerApi:
    """The worker's own line to the control plane, in maintenance flows only."""
    return _worker_api.get()


@contextlib.contextmanager
def use_session(session: RunSession) -> Iterator[None]:
    """Make ``session`` the current one."""
    token = _session.set(session)
    try:
        yield
    finally:
        _session.reset(token)


@contextlib.contextmanager
def use_worker_api(api: WorkerApi) -> Iterator[None]:
    """Make ``api`` the current one."""
    token = _worker_api.set(api)
    try:
        yield
    finally:
        _worker_api.reset(token)
