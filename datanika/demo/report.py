"""What the demo prints: sections, live progress of a run, and tables."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from datanika.contracts.api import MeOut, RunStepOut
from datanika.contracts.enums import StepState

_MARKS = {
    StepState.SUCCEEDED: "[green]✓[/green]",
    StepState.WARNED: "[yellow]![/yellow]",
    StepState.FAILED: "[red]✗[/red]",
    StepState.SKIPPED: "[dim]-[/dim]",
    StepState.CANCELLED: "[dim]-[/dim]",
}


class Report:
    """Prints to ``console`` and keeps how long each part of the demo took."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.times: list[tuple[str, float]] = []

    @contextmanager
    def part(self, title: str) -> Iterator[None]:
        """A part of the demo: its title before, its duration kept for the end."""
        self.console.print(f"\n[bold]{escape(title)}[/bold]")
        started = time.monotonic()
        yield
        self.times.append((title, time.monotonic() - started))

    def line(self, text: str) -> None:
        self.console.print(f"  {escape(text)}", highlight=False)

    def account(self, me: MeOut, password: str | None) -> None:
        """Who acts. A new user's password is shown here and nowhere else."""
        self.line(f"{me.organization}, {me.email}, {me.role}")
        if password is not None:
            self.console.print(
                f"  password [bold]{escape(password)}[/bold] (shown this once)", highlight=False
            )

    def links(self, links: dict[str, str]) -> None:
        """Where to look next."""
        width = max(map(len, links))
        self.console.print()
        for title, link in links.items():
            self.console.print(f"  {title:<{width}}  {link}", highlight=False, soft_wrap=True)

    def step(self, step: RunStepOut) -> None:
        """One line for a finished step, table, model or test."""
        mark = _MARKS.get(step.state, " ")
        indent = "    " if step.node else "  "
        name = f"{step.kind} {step.name}" if step.node else f"[bold]{escape(step.name)}[/bold]"
        details = []
        if step.rows is not None and step.kind != "test":
            details.append(f"{step.rows:,} rows")
        if step.duration_seconds is not None:
            details.append(f"{step.duration_seconds:.1f} s")
        self.console.print(
            f"{indent}{mark} {name}  [dim]{', '.join(details)}[/dim]",
            highlight=False,
            soft_wrap=True,
        )
        failing = step.details.get("failures")
        if step.kind == "test" and failing:
            self.console.print(f"{indent}  {failing:,} rows fail", highlight=False)
        if step.error_message and step.state in (StepState.FAILED, StepState.WARNED):
            self.console.print(f"{indent}  {escape(step.error_message)}", highlight=False)

    def counts(self, counts: dict[str, int], loaded: dict[str, int]) -> None:
        """Rows in the warehouse beside the rows that this run wrote."""
        table = Table(
            "table", title="Rows in the warehouse", title_justify="left", box=box.SIMPLE_HEAD
        )
        table.add_column("rows", justify="right")
        table.add_column("written by this run", justify="right")
        for name, rows in counts.items():
            table.add_row(name, f"{rows:,}", f"{loaded[name]:,}" if name in loaded else "-")
        self.console.print(table)

    def tests(self, steps: Sequence[RunStepOut]) -> None:
        """How the dbt tests went, and the ones that did not pass by name."""
        tests = [step for step in steps if step.kind == "test"]
        states = [step.state for step in tests]
        passed, warned, failed = (
            states.count(state)
            for state in (StepState.SUCCEEDED, StepState.WARNED, StepState.FAILED)
        )
        self.line(f"dbt tests: {passed} passed, {warned} warned, {failed} failed")
        for step in tests:
            if step.state is not StepState.SUCCEEDED:
                self.step(step)

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """A small result table; numbers right, averages with two decimals."""
        table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
        for index, column in enumerate(columns):
            numeric = all(isinstance(row[index], int | float) for row in rows)
            table.add_column(column, justify="right" if numeric else "left", no_wrap=True)
        for row in rows:
            table.add_row(
                *(f"{item:.2f}" if isinstance(item, float) else str(item) for item in row)
            )
        self.console.print(table)

    def timing(self, steps: Sequence[RunStepOut]) -> None:
        """The time of each part of the demo, and of each step of its run."""
        table = Table("part", title="Time", title_justify="left", box=box.SIMPLE_HEAD)
        table.add_column("seconds", justify="right")
        for title, seconds in self.times:
            table.add_row(title, f"{seconds:.1f}")
        for step in steps:
            if not step.node and step.duration_seconds is not None:
                table.add_row(f"  of it step {step.name}", f"{step.duration_seconds:.1f}")
        table.add_section()
        table.add_row("total", f"{sum(seconds for _, seconds in self.times):.1f}")
        self.console.print(table)
