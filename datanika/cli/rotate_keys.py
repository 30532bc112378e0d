"""``datanika rotate-keys``: every stored secret under the newest key again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from datanika.services.encryption import Rotation


def rotate_keys(
    new_key: Annotated[
        bool,
        typer.Option(
            "--new-key",
            help="First make a new key. For `datanika up`, which keeps the keys itself.",
        ),
    ] = False,
) -> None:
    """Encrypt every stored secret under the newest key again, while the system runs.

    Exits 1 if a secret could not be opened: it stays as it was, and needs its old key.
    """
    from datanika.cli.failure import explain_errors
    from datanika.cli.in_database import in_database
    from datanika.config import settings
    from datanika.services.encryption import count_outdated
    from datanika.services.encryption import rotate_keys as rotate

    if new_key:
        from datanika.runtime.secrets import add_encryption_key

        with explain_errors():
            typer.echo(f"New key: {add_encryption_key(settings.home)}")

    def progress(table: str, done: int) -> None:
        typer.echo(f"{table}: {done:,}")

    async def work() -> tuple[Rotation, int]:
        return await rotate(progress), await count_outdated()

    result, left = in_database(work)
    typer.echo(f"{result.changed:,} secrets are under the newest key now, {left:,} are not.")
    for line in result.failed:
        typer.echo(line, err=True)
    if left:
        raise typer.Exit(1)
