"""``datanika demo``: the whole platform, and a real pipeline through it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from datanika.demo.report import Report
    from datanika.runtime import RunningRuntime


def demo(
    once: Annotated[
        bool, typer.Option("--once", help="Stop everything after one run; exit 0 if all is right.")
    ] = False,
    home: Annotated[
        Path | None, typer.Option(help="Data folder. Default: DATANIKA_HOME, or your data folder.")
    ] = None,
    port: Annotated[
        int | None, typer.Option(help="Web port. Default: 8000, or a free one.")
    ] = None,
) -> None:
    """Start the platform and run a pipeline over real data: 336,776 flights out of New York."""
    from rich.console import Console

    from datanika.cli.failure import explain_errors
    from datanika.demo.report import Report
    from datanika.runtime import Runtime

    report = Report(Console())
    with explain_errors(), Runtime(home, port=port, console=report.console).running() as runtime:
        report.times.append(("Platform start", runtime.started_in))
        _play(runtime, report)
        if not once:
            report.console.print("\nServing until Ctrl-C.")
            runtime.wait()


def _play(runtime: RunningRuntime, report: Report) -> None:
    """The demo on a running platform. Raises what it finds wrong."""
    from datanika.client import DatanikaClient
    from datanika.demo.account import open_account
    from datanika.demo.scenario import play
    from datanika.demo.warehouse import Warehouse
    from datanika.errors import ConfigError

    given = runtime.demo_warehouse
    if given is None:
        raise ConfigError(
            "The demo keeps its warehouse on the embedded PostgreSQL, which is not running.",
            code="demo_needs_embedded_postgres",
            hint="Start the demo without DATABASE_URL.",
        )
    warehouse = Warehouse(given.host, given.port, given.database, given.user, given.password)
    with report.part("Organisation and user"):
        account = open_account(runtime.web_url, runtime.home)
        report.account(account.me, account.password)
    files = runtime.home / "orgs" / str(account.me.org_id) / "files"
    with DatanikaClient(runtime.web_url, account.token) as api:
        run = play(api, files, warehouse, report)
    report.timing(run.steps)
    report.links(
        {
            "This run": f"{runtime.web_url}/runs/{run.run.id}",
            "User interface": runtime.web_url,
            "REST API": f"{runtime.web_url}/api/v1/openapi.json",
            "Prefect": runtime.prefect_ui_url or "the one given",
            "Log in as": account.me.email,
        }
    )
