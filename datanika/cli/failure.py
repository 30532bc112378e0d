"""How a command says what went wrong: the sentence, the way out, and exit code 1."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import typer

from datanika.errors import DatanikaError


@contextmanager
def explain_errors() -> Iterator[None]:
    """Turn our errors into two lines on stderr instead of a traceback."""
    try:
        yield
    except DatanikaError as error:
        typer.echo(f"{error.message} [{error.code}]", err=True)
        if error.hint:
            typer.echo(error.hint, err=True)
        raise typer.Exit(1) from None
