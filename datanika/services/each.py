"""The same work on many things: some at a time, and not for ever."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable


async def do_each(
    work: Callable[[int], Awaitable[bool]], ids: Iterable[int], *, at_once: int, until: float
) -> int:
    """How many of ``ids`` ``work`` was true of.

    None is begun after ``until`` (of ``time.monotonic()``). The first error ends it all: what has
    begun is cancelled, and the error raised as it is.
    """
    left, done = iter(ids), 0

    async def worker() -> None:
        nonlocal done
        for number in left:
            if time.monotonic() >= until:
                return
            if await work(number):
                done += 1

    tasks = [asyncio.create_task(worker()) for _ in range(at_once)]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return done
