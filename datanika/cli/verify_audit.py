"""``datanika verify-audit``: whether somebody changed the audit log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from datanika.services.audit_verification import Verdict


def verify_audit(
    org: Annotated[
        int | None, typer.Option(min=1, help="Id of an organisation. Default: all of them.")
    ] = None,
) -> None:
    """Check every organisation's chain of audit entries. Exits 1 if one is broken."""
    from datanika.cli.in_database import in_database
    from datanika.services.audit_verification import verify_all

    async def work() -> list[Verdict]:
        return [verdict async for verdict in verify_all(org)]

    verdicts = in_database(work)
    for one in verdicts:
        state = "whole" if one.is_whole else f"BROKEN: {one.reason}"
        typer.echo(f"organisation {one.org_id} ({one.entries:,} entries): {state}")
    if not verdicts:
        typer.echo("There is no such organisation." if org else "There is no organisation.")
    if (org and not verdicts) or not all(one.is_whole for one in verdicts):
        raise typer.Exit(1)
