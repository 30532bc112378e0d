"""``datanika limits ORGANIZATION``: what an organisation may use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from datanika.services.limits import Limits

_Limit = Annotated[int | None, typer.Option(min=-1, help="-1: the platform's own limit.")]


def limits(
    organization: Annotated[str, typer.Argument(help="Id or slug of the organisation.")],
    max_concurrent_runs: _Limit = None,
    max_connections: _Limit = None,
    max_rows_per_month: _Limit = None,
    max_storage_bytes: _Limit = None,
) -> None:
    """Show what an organisation may use, and set what is given."""
    from datanika.cli.in_database import in_database
    from datanika.db import SYSTEM, get_session
    from datanika.services.limits import LIMITS, limits_of, set_limits
    from datanika.services.retention import find_organization

    given = {
        "max_concurrent_runs": max_concurrent_runs,
        "max_connections": max_connections,
        "max_rows_per_month": max_rows_per_month,
        "max_storage_bytes": max_storage_bytes,
    }
    changes = {
        name: None if value == -1 else value for name, value in given.items() if value is not None
    }

    async def work() -> Limits:
        async with get_session(SYSTEM) as session:
            found = await find_organization(session, organization)
            if changes:
                await set_limits(session, found.id, changes)
                await session.refresh(found)
            return limits_of(found)

    holds = in_database(work)
    for name in LIMITS:
        value = getattr(holds, name)
        typer.echo(f"{name}: {'no limit' if value is None else f'{value:,}'}")
