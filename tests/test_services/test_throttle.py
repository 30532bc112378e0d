"""Whoever guesses waits longer and longer; nobody is locked out for good."""

from __future__ import annotations

import asyncio
import datetime as dt

import pytest
from sqlalchemy import func, select, update

from datanika.contracts.events import utcnow
from datanika.db import SYSTEM, get_session
from datanika.errors import TooManyRequests
from datanika.models import Throttle
from datanika.services import throttle
from datanika.services.throttle import FORGOTTEN_AFTER, LIMITS, attempt

pytestmark = pytest.mark.usefixtures("database")
HERE, THERE = "192.0.2.1", "198.51.100.7"
PAIR, ACCOUNT, ADDRESS = LIMITS["login"].pair, LIMITS["login"].account, LIMITS["login"].address


async def fail(times: int, address: str = HERE, account: str = "ada@example.com") -> int | None:
    """The seconds to wait after so many failures; None when there is nothing to wait for."""
    wait = None
    for _ in range(times):
        try:
            await attempt("login", address, account)
        except TooManyRequests as refused:
            wait = refused.context["retry_after"]
    return wait


async def pass_time(seconds: float) -> None:
    """As if everything had happened so much earlier."""
    earlier = dt.timedelta(seconds=seconds)
    async with get_session(SYSTEM) as session:
        await session.execute(
            update(Throttle).values(
                last_at=Throttle.last_at - earlier, blocked_until=Throttle.blocked_until - earlier
            )
        )


async def failures() -> list[int]:
    async with get_session(SYSTEM) as session:
        return [*await session.scalars(select(Throttle.failures).order_by(Throttle.failures))]


async def test_the_wait_doubles_with_every_failure_up_to_a_limit() -> None:
    assert PAIR is not None
    assert await fail(PAIR.free) is None
    waits = []
    for _ in range(12):
        waits.append(await fail(1))
        await pass_time(waits[-1] or 0)
        assert await fail(1) is None
    assert waits[:6] == [5, 10, 20, 40, 80, 160]
    assert waits[-1] == PAIR.longest


async def test_of_many_guesses_at_once_only_the_free_ones_get_through() -> None:
    assert PAIR is not None
    outcomes = await asyncio.gather(
        *(attempt("login", HERE, "ada@example.com") for _ in range(60)), return_exceptions=True
    )
    assert sum(isinstance(one, throttle.Attempt) for one in outcomes) == PAIR.free
    assert sum(isinstance(one, TooManyRequests) for one in outcomes) == 60 - PAIR.free


async def test_knocking_while_blocked_does_not_lengthen_the_wait() -> None:
    assert PAIR is not None
    await fail(PAIR.free)
    assert await fail(20) in (4, 5)
    await pass_time(5)
    assert await fail(1) is None


async def test_an_attacker_elsewhere_does_not_block_the_owner() -> None:
    assert PAIR is not None
    await fail(PAIR.free + 5, THERE)
    assert await fail(1, HERE) is None


async def test_many_addresses_share_the_accounts_patience_but_not_where_the_owner_was() -> None:
    assert ACCOUNT is not None
    for number in range(ACCOUNT.free):
        await attempt("login", f"203.0.113.{number}", "ada@example.com")
    assert await fail(1, "203.0.113.250")

    async def was_here() -> bool:
        return True

    await attempt("login", HERE, "ada@example.com", is_known_here=was_here)
    # And also that wait has an end.
    await pass_time(ACCOUNT.longest)
    assert await fail(1, "203.0.113.251") is None


async def test_one_address_that_tries_many_accounts_is_slowed() -> None:
    assert ADDRESS is not None
    for number in range(ADDRESS.free):
        await attempt("login", HERE, f"{number}@example.com")
    assert await fail(1, HERE, "new@example.com")
    assert await fail(1, THERE, "new@example.com") is None


async def test_success_forgets_the_account_and_gives_the_address_one_attempt_back() -> None:
    await fail(3)
    counted = await attempt("login", HERE, "ada@example.com")
    assert await failures() == [4, 4, 4]
    await counted.succeeded()
    assert await failures() == [3]


async def test_a_count_that_nobody_touched_for_an_hour_starts_again() -> None:
    assert PAIR is not None
    await fail(PAIR.free)
    await pass_time(FORGOTTEN_AFTER.total_seconds() + 1)
    assert await fail(PAIR.free) is None


async def test_an_ipv6_customer_is_one_sender_and_a_mapped_address_is_its_ipv4() -> None:
    for address in ("2001:db8::1", "2001:db8::2:1"):
        await attempt("refresh", address)
    for address in ("192.0.2.9", "::ffff:192.0.2.9"):
        await attempt("refresh", address)
    assert await failures() == [2, 2]


async def test_neither_address_nor_account_is_readable_in_the_table() -> None:
    await fail(1)
    async with get_session(SYSTEM) as session:
        keys = [*await session.scalars(select(Throttle.key))]
    assert len(keys) == 3 and all(len(key) == 64 for key in keys)


async def test_retention_deletes_old_counts() -> None:
    from datanika.services.retention import delete_old

    await fail(1)
    assert (await delete_old())["throttles"] == 0
    assert (await delete_old(utcnow() + dt.timedelta(days=2)))["throttles"] == 3
    async with get_session(SYSTEM) as session:
        assert await session.scalar(select(func.count(Throttle.id))) == 0
