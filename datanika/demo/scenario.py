"""The demo's story: set up, run, look, compare."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

from datanika.client import DatanikaClient
from datanika.demo import verify
from datanika.demo.content import MARTS
from datanika.demo.dataset import FOLDER, ROWS, write_files
from datanika.demo.report import Report
from datanika.demo.run import FollowedRun, follow
from datanika.demo.setup import Setup
from datanika.demo.warehouse import Warehouse
from datanika.errors import DatanikaError

RESULT_ROWS = 8
RUN_TIMEOUT_SECONDS = 600.0


class DemoFailed(DatanikaError):
    """The demo ran, and something in it was not as it should be."""

    default_code = "demo_failed"


def play(api: DatanikaClient, files: Path, warehouse: Warehouse, report: Report) -> FollowedRun:
    """Run the demo's pipeline once and check what it made.

    ``files`` is the organisation's upload folder. Raises :class:`DemoFailed` with everything that
    is wrong.
    """
    with report.part("Source files: flights out of New York in 2013"):
        for name, rows in write_files(files / FOLDER).items():
            report.line(f"{FOLDER}/{name}.parquet  {rows:,} rows")
    with report.part("Connections, dbt project, pipeline and schedule, over the REST API"):
        prepared = Setup(api).prepare(warehouse)
        report.line(f"{prepared.created} created, {prepared.updated} updated, the rest reused")
    with report.part("Run, through Prefect"):
        triggered = api.pipelines.run(prepared.pipeline_id, idempotency_key=f"demo-{uuid4()}")
        run = follow(api, triggered.id, report.step, RUN_TIMEOUT_SECONDS)
    with report.part("Check against a direct pandas computation"):
        wrong = _check(run, warehouse, report)
    if wrong:
        raise DemoFailed("\n".join(wrong))
    return run


def _check(run: FollowedRun, warehouse: Warehouse, report: Report) -> list[str]:
    """What is wrong, one sentence each; prints the figures on the way."""
    if not run.succeeded:
        reason = run.run.error_message or "no reason given"
        return [f"Run {run.run.id} ended as {run.run.state}: {reason}"]
    counts = warehouse.counts(verify.count_queries())
    report.counts(counts, run.loaded_rows())
    report.tests(run.steps)
    rows = warehouse.rows(verify.MART_QUERY)
    report.table(
        f"First rows of {MARTS}.delay_by_carrier_month, delays in minutes",
        verify.SHOWN_COLUMNS,
        [verify.shown(row) for row in rows[:RESULT_ROWS]],
    )
    wrong = [*verify.compare_counts(counts), *verify.compare_delays(rows)]
    if not wrong:
        report.line(
            f"All figures are right: {ROWS['flights']:,} flights, {len(rows)} airline months."
        )
    return wrong
