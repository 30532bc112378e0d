"""A table whose number of rows is known has a bar while it is loaded."""

from __future__ import annotations

import datetime as dt
import io
import re

from rich.console import Console

from datanika.cli.progress import board
from datanika.contracts.api import RunStepOut
from datanika.contracts.enums import StepState

START = dt.datetime(2026, 3, 1, 6, tzinfo=dt.UTC)


def table(rows: int | None, total: int | None, state: StepState = StepState.RUNNING) -> RunStepOut:
    """``raw.orders`` two seconds after its start."""
    given = dict.fromkeys(RunStepOut.model_fields) | {
        "step_key": "load",
        "node": "raw.orders",
        "name": "orders[red]",
        "kind": "table",
        "state": state,
        "attempt": 1,
        "depends_on": [],
        "details": {},
        "started_at": START,
        "updated_at": START + dt.timedelta(seconds=2),
        "rows": rows,
        "rows_total": total,
    }
    return RunStepOut.model_validate(given)


def shown(*steps: RunStepOut, terminal: bool = True) -> str:
    """What a terminal is sent, without its control sequences."""
    file = io.StringIO()
    console = Console(file=file, force_terminal=terminal, width=100, color_system=None)
    with board(console) as made:
        for step in steps:
            made.step(step)
            made._progress.refresh()
    return re.sub(r"\x1b\[[0-9?;]*[a-zA-Z]", "", file.getvalue())


def test_a_bar_says_how_far_the_table_is_and_how_fast() -> None:
    text = shown(table(5000, 20000))
    assert re.search(r"orders\[red\] .* 5000/20000 2,500 rows/s", text)


def test_there_is_no_bar_without_a_total_nor_after_the_end_nor_in_a_file() -> None:
    assert "orders" not in shown(table(5000, None))
    assert "orders" not in shown(table(20000, 20000, StepState.SUCCEEDED))
    assert shown(table(5000, 20000), terminal=False) == ""
    text = shown(table(5000, 20000), table(20000, 20000, StepState.SUCCEEDED))
    assert "orders" not in text.splitlines()[-1]


def test_rows_per_second_are_those_from_the_start_to_the_last_news() -> None:
    assert table(5000, None).rows_per_second == 2500
    assert table(None, None).rows_per_second is None
    ended = table(900, None, StepState.SUCCEEDED).model_copy(update={"duration_seconds": 3.0})
    assert ended.rows_per_second == 300
