"""A warm engine host for tests, in a process of its own, and steps to run in it.

Tests may not warm pytest's own process (it has threads), so the host is exec'd once per module.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing

from datanika.contracts.events import RunEvent
from datanika.contracts.steps import ResolvedLoad, ResolvedTransform
from datanika.execution.engine_host import EngineHostClient


async def collect(
    host: EngineHostClient, step: ResolvedLoad | ResolvedTransform, **arguments: object
) -> list[RunEvent]:
    """All events of one step."""
    stream: AsyncIterator[RunEvent] = host.run(step, **arguments)  # type: ignore[arg-type]
    async with aclosing(stream) as events:  # type: ignore[type-var]
        return [event async for event in events]
