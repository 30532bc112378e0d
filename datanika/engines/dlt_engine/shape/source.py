"""A source as its table's settings want it: filtered, hidden, in batches of the size asked for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from datanika.contracts.spec import TableSpec
from datanika.engines.dlt_engine.shape.filters import ArrowFilter
from datanika.engines.dlt_engine.shape.privacy import Privacy
from datanika.engines.dlt_engine.shape.sql import missing
from datanika.errors import EgressRefused, StepError, TerminalStepError

if TYPE_CHECKING:
    import pyarrow as pa

    from datanika.engines.dlt_engine.sources.base import SourceTable


def read_spec(table: TableSpec) -> TableSpec:
    """What has to be read of the source: its settings may be about columns that do not arrive."""
    if not table.columns:
        return table
    needed = dict.fromkeys([*table.columns, *(one.column for one in table.filters)])
    return table.model_copy(update={"columns": tuple(needed)})


def shaped(source: SourceTable, table: TableSpec, privacy: Privacy) -> SourceTable:
    """``source`` with what it has not done itself.

    Raises :class:`TerminalStepError` for settings about columns that it does not have.
    """
    for name in sorted(privacy.columns):
        if name not in source.schema.names:
            raise missing(name, source.schema.names)
    keep = _kept(source.schema.names, table, source.mark)
    rows = ArrowFilter(() if source.is_filtered else table.filters, source.schema)
    hide = None if source.is_hidden or not privacy.columns else privacy
    schema = hide.schema(source.schema) if hide else source.schema

    def read(start: str | None, end: str | None = None) -> Iterator[pa.Table]:
        batches = source.read(start, end)
        while True:
            with quiet(privacy):
                batch = next(batches, None)
                if batch is None:
                    return
                batch = rows(batch).select(keep)
                if hide is not None:
                    batch = hide.arrow(batch)
            yield from _batches(batch, table.batch_rows)

    import pyarrow as pa

    return replace(
        source,
        schema=pa.schema([schema.field(name) for name in keep]),
        read=read,
        json_columns=source.json_columns - privacy.columns,
    )


@contextmanager
def quiet(privacy: Privacy) -> Iterator[None]:
    """A reader of files quotes the line that it stumbles over, and with it what is to be hidden.

    Where a column is hidden, its words are left out.
    """
    try:
        yield
    except Exception as error:
        if not privacy.columns or isinstance(error, StepError | EgressRefused | OSError):
            raise
        raise TerminalStepError(
            f"The source could not be read ({type(error).__name__}). What was said of it is left "
            "out, because it may quote values of hidden columns.",
            code="source_unreadable",
            hint="Load it once without hidden columns into a place of your own to see it, or put "
            "bad rows into quarantine.",
        ) from None


def _kept(present: list[str], table: TableSpec, mark: str | None) -> list[str]:
    if not table.columns:
        return present
    wanted = {*table.columns, *([table.cursor.column] if table.cursor else []), mark}
    return [name for name in present if name in wanted]


def _batches(batch: pa.Table, size: int | None) -> Iterator[pa.Table]:
    if size is None or batch.num_rows <= size:
        yield batch
        return
    for start in range(0, batch.num_rows, size):
        yield batch.slice(start, size)
