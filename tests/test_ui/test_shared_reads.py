"""Pages that look at the same thing share one read of it, and nobody gets another key's answer."""

from __future__ import annotations

import asyncio

import pytest

from datanika.ui.shared_reads import SharedReads


async def test_who_asks_at_once_shares_one_read_until_it_is_old() -> None:
    reads: list[str] = []
    shared: SharedReads[str] = SharedReads(seconds=0.05)

    async def read(name: str) -> str:
        reads.append(name)
        await asyncio.sleep(0.01)
        return f"{name} {len(reads)}"

    found = await asyncio.gather(*(shared.get((1, "a"), lambda: read("a")) for _ in range(20)))
    assert set(found) == {"a 1"} and reads == ["a"]
    assert await shared.get((2, "a"), lambda: read("b")) == "b 2"
    await asyncio.sleep(0.06)
    assert await shared.get((1, "a"), lambda: read("a")) == "a 3"
    # What is old is forgotten.
    assert len(shared._known) == 1


async def test_a_failure_is_not_kept_and_a_reader_who_leaves_ends_nothing() -> None:
    shared: SharedReads[int] = SharedReads(seconds=10)

    async def fail() -> int:
        raise ValueError("once")

    async def slow() -> int:
        await asyncio.sleep(0.05)
        return 7

    with pytest.raises(ValueError, match="once"):
        await shared.get("key", fail)
    leaving = asyncio.create_task(shared.get("key", slow))
    await asyncio.sleep(0)
    staying = asyncio.create_task(shared.get("key", slow))
    await asyncio.sleep(0)
    leaving.cancel()
    assert await staying == 7
