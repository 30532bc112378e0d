"""What many open pages look at alike is read once for all of them.

A hundred people who watch the same list would ask the same question of the database fifty times a
second. The asker's right is proven before; the key has the organisation in it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Hashable
from typing import Any


class SharedReads[V]:
    """Answers that are not older than ``seconds``. What is shared must not be changed."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._known: dict[Hashable, tuple[float, asyncio.Future[V]]] = {}

    async def get(self, key: Hashable, read: Callable[[], Awaitable[V]]) -> V:
        """What ``read`` gives, or gave to somebody else a moment ago. An error is nobody else's."""
        now = time.monotonic()
        at, answer = self._known.get(key, (0.0, None))
        if answer is None or now - at > self._seconds or _failed(answer):
            self._forget(now)
            answer = asyncio.ensure_future(read())
            self._known[key] = now, answer
        # Who goes away meanwhile must not end it for the others.
        return await asyncio.shield(answer)

    def _forget(self, now: float) -> None:
        old = [key for key, (at, _) in self._known.items() if now - at > self._seconds]
        for key in old:
            del self._known[key]


def _failed(answer: asyncio.Future[Any]) -> bool:
    return answer.done() and (answer.cancelled() or answer.exception() is not None)
