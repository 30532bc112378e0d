"""Slows down whoever guesses: passwords, codes, tokens. Counted in PostgreSQL, not in Redis.

Every attempt is counted before it is judged, in a transaction of its own: a failed login rolls its
request back, and of many guesses sent at once only the free ones get through. What succeeds is
forgotten again. A blocked attempt is not counted, so nobody can keep an account locked by knocking:
the wait after a failure ends by itself.

Three counters, each with a limit of its own: the network address (whoever it tries), the account
from this address, and, more patiently, the account from everywhere. The last one does not bind an
address from which the account's owner has logged in before.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import ipaddress
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Literal

from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.sql import case, func, literal, or_, update

from datanika.contracts.events import utcnow
from datanika.db import SYSTEM, get_session
from datanika.errors import TooManyRequests
from datanika.models import Throttle

FORGOTTEN_AFTER: Final = dt.timedelta(hours=1)
"""A counter that nobody touched for so long starts again."""

What = Literal["login", "totp", "confirm", "reset", "register", "refresh", "oidc"]


@dataclass(frozen=True, slots=True)
class Limit:
    """``free`` attempts, then ``first`` seconds, twice as many … between them, at most
    ``longest``."""

    free: int
    longest: int
    first: int = 5


@dataclass(frozen=True, slots=True)
class Limits:
    """What one kind of attempt may do; None does not count."""

    address: Limit | None
    pair: Limit | None = None
    account: Limit | None = None


LIMITS: Final[dict[What, Limits]] = {
    "login": Limits(Limit(60, 300), Limit(5, 900), Limit(30, 60)),
    "totp": Limits(Limit(60, 300), Limit(5, 900), Limit(10, 900)),
    # Somebody who is logged in says their password again.
    "confirm": Limits(None, Limit(5, 900)),
    # Each of these sends somebody a mail.
    "reset": Limits(Limit(30, 900), Limit(3, 900, first=60), Limit(10, 900)),
    "register": Limits(Limit(30, 900), Limit(3, 900, first=60), Limit(10, 900)),
    "refresh": Limits(Limit(200, 300)),
    "oidc": Limits(Limit(30, 300)),
}

_Known = Callable[[], Awaitable[bool]]


class Attempt:
    """One counted attempt."""

    def __init__(self, keys: dict[str, str]) -> None:
        self._keys = keys

    async def succeeded(self) -> None:
        """Forget the account's failures; the address gets back only this one attempt, so that
        nobody clears it with an account of their own."""
        async with get_session(SYSTEM, beside=True) as session:
            if "address" in self._keys:
                await session.execute(
                    update(Throttle)
                    .where(Throttle.key == self._keys["address"], Throttle.failures > 0)
                    .values(failures=Throttle.failures - 1, blocked_until=None)
                    .execution_options(synchronize_session=False)
                )
            accounts = [key for kind, key in self._keys.items() if kind != "address"]
            if accounts:
                await session.execute(delete(Throttle).where(Throttle.key.in_(accounts)))


async def attempt(
    what: What, address: str, account: str = "", *, is_known_here: _Known | None = None
) -> Attempt:
    """Count an attempt; raises :class:`TooManyRequests` with ``retry_after`` where it must wait.

    ``address`` is the sender's, "" when there is none (a program on this machine); ``account`` what
    they try, existing or not. ``is_known_here`` is asked when the account is attacked from
    everywhere: whether its owner has logged in from this address before.
    """
    limits, now = LIMITS[what], utcnow()
    network = _network(address)
    keys: dict[str, tuple[Limit, str]] = {}
    if limits.address is not None and network:
        keys["address"] = (limits.address, _key(what, "address", network))
    if limits.pair is not None and account:
        keys["pair"] = (limits.pair, _key(what, "pair", account, network))
    if limits.account is not None and account:
        keys["account"] = (limits.account, _key(what, "account", account))
    async with get_session(SYSTEM, beside=True) as session:
        # Always in this order: two attempts cannot wait for each other.
        for kind, (limit, key) in keys.items():
            blocked_until = await _count(session, key, limit, now)
            if blocked_until is None:
                continue
            if kind == "account" and is_known_here is not None and await is_known_here():
                continue
            raise _too_many(math.ceil((blocked_until - now).total_seconds()))
    return Attempt({kind: key for kind, (_, key) in keys.items()})


async def _count(
    session: AsyncSession, key: str, limit: Limit, now: dt.datetime
) -> dt.datetime | None:
    """None when the attempt was counted; else until when there may be none.

    One statement: of parallel attempts each sees those before it.
    """
    stale = Throttle.last_at < now - FORGOTTEN_AFTER
    failures = case((stale, 1), else_=Throttle.failures + 1)
    over = func.least(failures - limit.free, 30)
    wait = func.least(limit.first * func.power(2, over), limit.longest)
    fresh = insert(Throttle).values(
        key=key, failures=1, first_at=now, last_at=now, blocked_until=_after_first(limit, now)
    )
    counted = await session.scalar(
        fresh.on_conflict_do_update(
            index_elements=["key"],
            set_={
                "failures": failures,
                "first_at": case((stale, now), else_=Throttle.first_at),
                "last_at": now,
                "blocked_until": case(
                    (
                        failures >= limit.free,
                        literal(now) + func.make_interval(0, 0, 0, 0, 0, 0, wait),
                    ),
                    else_=None,
                ),
            },
            where=or_(Throttle.blocked_until.is_(None), Throttle.blocked_until <= now),
        ).returning(Throttle.id)
    )
    if counted is not None:
        return None
    blocked: dt.datetime | None = await session.scalar(
        select(Throttle.blocked_until).where(Throttle.key == key)
    )
    return blocked or now


def _after_first(limit: Limit, now: dt.datetime) -> dt.datetime | None:
    return now + dt.timedelta(seconds=limit.first) if limit.free <= 1 else None


def _network(address: str) -> str:
    """The address as one sender has it: of IPv6 the /64, which every customer is given whole."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)


def _key(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()


def _too_many(seconds: int) -> TooManyRequests:
    wait = max(1, seconds)
    return TooManyRequests(
        "Too many attempts.", hint=f"Wait {wait} s and try again.", retry_after=wait
    )
