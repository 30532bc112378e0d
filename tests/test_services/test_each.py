"""Some at a time, not for ever, and an error ends it."""

from __future__ import annotations

import asyncio
import time

import pytest

from datanika.services.each import do_each


async def test_no_more_than_so_many_are_under_way_and_all_are_counted() -> None:
    under_way, most = 0, 0

    async def work(number: int) -> bool:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0.001)
        under_way -= 1
        return number % 2 == 0

    assert await do_each(work, range(40), at_once=8, until=time.monotonic() + 60) == 20
    assert most == 8


async def test_none_is_begun_when_the_time_is_over() -> None:
    begun: list[int] = []

    async def work(number: int) -> bool:
        begun.append(number)
        await asyncio.sleep(0.2)
        return True

    assert await do_each(work, range(100), at_once=4, until=time.monotonic() + 0.1) == 4
    assert begun == [0, 1, 2, 3]


async def test_the_first_error_ends_all_of_it_and_is_the_one_that_is_raised() -> None:
    ended: list[int] = []

    async def work(number: int) -> bool:
        try:
            if number == 1:
                raise ValueError(number)
            await asyncio.sleep(60)
        finally:
            ended.append(number)
        return True

    with pytest.raises(ValueError):
        await do_each(work, range(10), at_once=3, until=time.monotonic() + 60)
    assert sorted(ended) == [0, 1, 2]
