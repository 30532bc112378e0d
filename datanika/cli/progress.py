"""What a followed run prints: lines, and on a terminal a bar below them for each table that is
being loaded and whose number of rows is known."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from datanika.contracts.enums import StepState

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID

    from datanika.contracts.api import RunStepOut


class Board:
    """Lines that stay, above bars that move."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._bars: dict[tuple[str, str], TaskID] = {}

    def line(self, text: str) -> None:
        """Print ``text`` as it is."""
        import typer

        if not self._progress.console.is_terminal:
            typer.echo(text)
            return
        from rich.text import Text

        self._progress.console.print(Text(text), soft_wrap=True)

    def step(self, step: RunStepOut) -> None:
        """Show how far a table is, until it has ended."""
        key = (step.step_key, step.node)
        if step.state is not StepState.RUNNING or not step.node or not step.rows_total:
            if key in self._bars:
                self._progress.remove_task(self._bars.pop(key))
            return
        if key not in self._bars:
            self._bars[key] = self._progress.add_task(step.name, total=None, speed="")
        speed = "" if step.rows_per_second is None else f"{step.rows_per_second:,.0f} rows/s"
        self._progress.update(
            self._bars[key], total=step.rows_total, completed=step.rows or 0, speed=speed
        )


@contextmanager
def board(console: Console | None = None) -> Iterator[Board]:
    """A board on standard output while the block is open."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    console = console or Console()
    with Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[speed]}"),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as progress:
        yield Board(progress)
