"""Sessions and tenant scope. One ``get_session`` block is one transaction.

Inside it PostgreSQL itself refuses what a query forgot to filter: the session takes a role that
owns nothing, and row-level security compares ``org_id`` with ``app.org_id``. A session without a
scope sees no tenant's rows.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Literal
from weakref import WeakKeyDictionary

import asyncpg
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine

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

# asyncpg connections belong to the event loop that opened them.
_engines: WeakKeyDictionary[asyncio.AbstractEventLoop, AsyncEngine] = WeakKeyDictionary()


def async_url(url: str) -> str:
    """The URL with SQLAlchemy's asyncpg driver, whatever driver it named."""
    scheme, rest = url.split("://", 1)
    return f"postgresql+asyncpg://{rest}" if scheme.startswith("postgres") else url


def get_engine() -> AsyncEngine:
    """This event loop's engine."""
    loop = asyncio.get_running_loop()
    engine = _engines.get(loop)
    if engine is None:
        engine = create_async_engine(
            async_url(settings.require("database_url")),
            pool_size=10,
            max_overflow=20,
            pool_pre_ping=True,
            # Errors end in logs, and parameters may be ciphertexts or hashes.
            hide_parameters=True,
            connect_args={
                "server_settings": {
                    "application_name": "datanika",
                    # A transaction somebody forgot must not keep its locks for ever.
                    "idle_in_transaction_session_timeout": "300000",
                },
            },
        )
        _engines[loop] = engine
    return engine


async def dispose_engine() -> None:
    """Close this event loop's connections."""
    engine = _engines.pop(asyncio.get_running_loop(), None)
    if engine is not None:
        await engine.dispose()


@asynccontextmanager
async def get_session(scope: Scope = None) -> AsyncIterator[AsyncSession]:
    """A session in one transaction: committed at the end of the block, rolled back on an error.

    Raises :class:`Unavailable` when PostgreSQL does not answer, is starting or is going away, and
    when no connection becomes free.
    """
    try:
        async with (
            AsyncSession(get_engine(), expire_on_commit=False) as session,
            session.begin(),
        ):
            await enter(session, scope)
            yield session
    except DBAPIError as error:
        if not error.connection_invalidated:
            raise
        raise _unavailable() from error


async def enter(session: AsyncSession, scope: Scope) -> None:
    """Connect, and take the scope's role until the transaction ends or enters another scope.

    For :func:`get_session`, and for whoever learns in system scope which tenant is asking."""
    role = SYSTEM_ROLE if scope == SYSTEM else APP_ROLE
    org_id = str(scope.org_id) if isinstance(scope, TenantScope) else ""
    try:
        await session.execute(
            text("SELECT set_config('role', :role, true), set_config('app.org_id', :org, true)"),
            {"role": role, "org": org_id},
        )
    except (OSError, TimeoutError, PoolTimeout, *_GOING_AWAY) as error:
        raise _unavailable() from error


def _unavailable() -> Unavailable:
    return Unavailable(
        "The database is not answering; try again shortly.", code="database_unavailable"
    )
