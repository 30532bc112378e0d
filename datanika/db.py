"""Sessions and tenant scope. One ``get_session`` block is one transaction.

Inside it PostgreSQL itself refuses what a query forgot to filter: the session takes a role that
owns nothing, and row-level security compares ``org_id`` with ``app.org_id``. A session without a
scope sees no tenant's rows.

The scope travels in the message that begins the transaction: no statement can come before it, and
it costs no round trip of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Literal
from weakref import WeakKeyDictionary

import asyncpg
from sqlalchemy import Row, Select, event, text
from sqlalchemy.exc import DBAPIError, DisconnectionError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.orm import Session

from datanika.config import settings
from datanika.errors import Unavailable

APP_ROLE = "datanika_app"
SYSTEM_ROLE = "datanika_system"
"""Role for the platform's own work across tenants (login, claims, reconciliation). Its policies
let it see every row; only code that has proven no tenant asks may open such a session."""


@dataclass(frozen=True, slots=True)
class TenantScope:
    """See and write the rows of one organisation."""

    org_id: int


Scope = TenantScope | Literal["system"] | None
SYSTEM: Literal["system"] = "system"

# What PostgreSQL says while it starts, stops or is full.
_GOING_AWAY = (
    asyncpg.CannotConnectNowError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.TooManyConnectionsError,
)


class ScopedConnection(asyncpg.Connection):
    """Enters a scope with the message that begins the transaction."""

    _scope_sql = ""

    def enter_next(self, scope: Scope) -> None:
        """The next transaction is in ``scope``; the one after it in none."""
        self._scope_sql = _scope_sql(scope)

    async def execute(self, query: str, *args: Any, **options: Any) -> Any:
        """asyncpg sends the beginning and the end of transactions through here."""
        if not query.startswith("BEGIN"):
            return await super().execute(query, *args, **options)
        scope_sql, self._scope_sql = self._scope_sql, ""
        try:
            return await super().execute(query + scope_sql, *args, **options)
        except BaseException:
            # Begun but not entered: nobody may go on with it.
            self.terminate()
            raise


def _scope_sql(scope: Scope) -> str:
    role = SYSTEM_ROLE if scope == SYSTEM else APP_ROLE
    org_id = int(scope.org_id) if isinstance(scope, TenantScope) else ""
    return f"SELECT set_config('role', '{role}', true), set_config('app.org_id', '{org_id}', true)"


# asyncpg connections belong to the event loop that opened them.
_engines: WeakKeyDictionary[asyncio.AbstractEventLoop, AsyncEngine] = WeakKeyDictionary()
_side_engines: WeakKeyDictionary[asyncio.AbstractEventLoop, AsyncEngine] = WeakKeyDictionary()


def async_url(url: str) -> str:
    """The URL with SQLAlchemy's asyncpg driver, whatever driver it named."""
    scheme, rest = url.split("://", 1)
    return f"postgresql+asyncpg://{rest}" if scheme.startswith("postgres") else url


def get_engine() -> AsyncEngine:
    """This event loop's engine."""
    loop = asyncio.get_running_loop()
    if loop not in _engines:
        _engines[loop] = _new_engine(pool_size=10, max_overflow=20)
    return _engines[loop]


def _side_engine() -> AsyncEngine:
    loop = asyncio.get_running_loop()
    if loop not in _side_engines:
        _side_engines[loop] = _new_engine(pool_size=2, max_overflow=4)
    return _side_engines[loop]


def _new_engine(*, pool_size: int, max_overflow: int) -> AsyncEngine:
    engine = create_async_engine(
        async_url(settings.require("database_url")),
        pool_size=pool_size,
        max_overflow=max_overflow,
        # Errors end in logs, and parameters may be ciphertexts or hashes.
        hide_parameters=True,
        connect_args={
            "connection_class": ScopedConnection,
            "server_settings": {
                "application_name": "datanika",
                # A transaction somebody forgot must not keep its locks for ever.
                "idle_in_transaction_session_timeout": "300000",
            },
        },
    )
    event.listen(engine.sync_engine, "checkout", _refuse_closed)
    return engine


def _refuse_closed(driver: Any, record: Any, proxy: Any) -> None:
    """Have the pool replace a connection that the server closed meanwhile.

    asyncpg has heard of it already: asking the server, too, would cost every session a round trip.
    """
    if driver.driver_connection.is_closed():
        raise DisconnectionError("the server closed this connection")


async def dispose_engine() -> None:
    """Close this event loop's connections."""
    for engines in (_engines, _side_engines):
        engine = engines.pop(asyncio.get_running_loop(), None)
        if engine is not None:
            await engine.dispose()


@asynccontextmanager
async def get_session(scope: Scope = None, *, beside: bool = False) -> AsyncIterator[AsyncSession]:
    """A session in one transaction: committed at the end of the block, rolled back on an error.

    ``beside``: a short one that a request opens while it holds its own, and that stays whatever
    becomes of the request. It has a pool of its own: requests that each hold a connection and wait
    for a second one of the same pool would wait for each other.

    Raises :class:`Unavailable` when PostgreSQL does not answer, is starting or is going away, and
    when no connection becomes free.
    """
    engine = _side_engine() if beside else get_engine()
    try:
        async with (
            AsyncSession(engine, expire_on_commit=False) as session,
            session.begin(),
        ):
            await _connect(session, scope)
            yield session
    except DBAPIError as error:
        if not error.connection_invalidated:
            raise
        raise _unavailable() from error


async def _connect(session: AsyncSession, scope: Scope) -> None:
    try:
        connection = await session.connection()
    except (OSError, TimeoutError, PoolTimeout, *_GOING_AWAY) as error:
        raise _unavailable() from error
    driver = connection.sync_connection.connection.driver_connection  # type: ignore[union-attr]
    assert isinstance(driver, ScopedConnection)
    driver.enter_next(scope)


async def enter(session: AsyncSession, scope: Scope) -> None:
    """Go on in another scope until the transaction ends: for whoever learns in system scope which
    tenant is asking."""
    await session.execute(text(_scope_sql(scope)))


async def fetch_rows(
    session: AsyncSession, query: Select[Any], parameters: Mapping[str, Any] | None = None
) -> Sequence[Row[Any]]:
    """The rows of a query that selects columns, in the session's transaction but past its unit of
    work: for what every request asks."""

    def fetch(sync_session: Session) -> Sequence[Row[Any]]:
        return sync_session.connection().execute(query, parameters).all()

    return await session.run_sync(fetch)


@asynccontextmanager
async def system_scope(session: AsyncSession, back_to: Scope) -> AsyncIterator[None]:
    """System scope inside a transaction that is a tenant's, and back again: for what lies between
    organisations (whose member somebody is, whom a token was sent to).

    One transaction, one connection: a request that waited for a second one could wait for ever.
    An error leaves the block in system scope, and must end the transaction.
    """
    await session.flush()
    await enter(session, SYSTEM)
    yield
    await session.flush()
    await enter(session, back_to)


def _unavailable() -> Unavailable:
    return Unavailable(
        "The database is not answering; try again shortly.", code="database_unavailable"
    )
