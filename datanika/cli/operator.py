"""``datanika operator EMAIL``: who runs the platform itself."""

from __future__ import annotations

from typing import Annotated

import typer


def operator(
    email: Annotated[str, typer.Argument(help="E-mail address of a registered user.")],
    grant: Annotated[
        bool | None, typer.Option("--grant/--revoke", help="Make them an operator, or stop it.")
    ] = None,
) -> None:
    """Show, grant or revoke a user's rights as an operator of the platform.

    Operators set any limit of their organisations and refer to the platform's own secrets.
    """
    from datanika.cli.in_database import in_database
    from datanika.db import SYSTEM, get_session
    from datanika.services.operators import is_operator, set_operator

    async def work() -> bool:
        async with get_session(SYSTEM) as session:
            if grant is None:
                return await is_operator(session, email)
            return await set_operator(session, email, grant)

    is_one = in_database(work)
    typer.echo(f"{email} is {'an operator' if is_one else 'no operator'} of the platform.")
