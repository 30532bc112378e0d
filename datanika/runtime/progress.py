"""What the person at the terminal sees: a live list on a terminal, plain lines elsewhere."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text


@dataclass
class Step:
    """One part of the start. Seconds count from the start of the whole."""

    name: str
    began: float | None = None
    ended: float | None = None
    failed: bool = False

    @property
    def seconds(self) -> float:
        """How long it took, waiting for others left out; 0 while it runs."""
        return 0.0 if self.began is None or self.ended is None else self.ended - self.began


class Progress:
    """The steps of a start and their times; safe to use from several threads."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.steps: list[Step] = []
        self._started = time.monotonic()
        self._lock = threading.Lock()

    @property
    def elapsed(self) -> float:
        return time.monotonic() - self._started

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Time a step; shown while it runs and when it is done."""
        step = Step(name, began=self.elapsed)
        with self._lock:
            self.steps.append(step)
        try:
            yield
        except BaseException:
            step.failed = True
            raise
        finally:
            step.ended = self.elapsed
            if not self.console.is_terminal:
                mark = "FAILED" if step.failed else "ready"
                self.say(f"{step.name}: {mark} after {step.ended:.1f} s")

    def say(self, text: str) -> None:
        # Plain text: an address in square brackets is not markup.
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Show the steps live while the block runs, on a terminal."""
        if not self.console.is_terminal:
            yield
            return
        with Live(get_renderable=self._render, console=self.console, refresh_per_second=8):
            yield

    def _render(self) -> RenderableType:
        lines: list[RenderableType] = []
        with self._lock:
            for step in self.steps:
                if step.ended is None:
                    running = self.elapsed - (step.began or 0.0)
                    lines.append(Spinner("dots", text=f"{step.name}  {running:.0f} s"))
                elif step.failed:
                    lines.append(Text(f"✗ {step.name}", style="red"))
                else:
                    lines.append(Text(f"✓ {step.name}  {step.seconds:.1f} s", style="green"))
        return Group(*lines)

    def breakdown(self) -> Table:
        """Where the time went: when each step began and how long it took."""
        table = Table("Part", "began at", "took", box=None, pad_edge=False)
        for column in table.columns[1:]:
            column.justify = "right"
        with self._lock:
            for step in self.steps:
                table.add_row(step.name, f"{step.began or 0:.1f} s", f"{step.seconds:.1f} s")
        return table
