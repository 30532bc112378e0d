"""``datanika up``: the whole platform on this machine, until Ctrl-C."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def up(
    home: Annotated[
        Path | None, typer.Option(help="Data folder. Default: DATANIKA_HOME, or your data folder.")
    ] = None,
    port: Annotated[
        int | None, typer.Option(help="Web port. Default: 8000, or a free one.")
    ] = None,
) -> None:
    """Start everything: PostgreSQL, Redis, Prefect, the worker, Celery, the web application.

    Ctrl-C stops it. What you give as DATABASE_URL, REDIS_URL or PREFECT_API_URL is used instead of
    the embedded part.
    """
    from datanika.cli.failure import explain_errors
    from datanika.runtime import Runtime

    with explain_errors(), Runtime(home, port=port).running() as platform:
        platform.wait()
