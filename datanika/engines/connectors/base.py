"""What every connector is: a kind's name, its configuration, what it can be and what it can do.

A kind is one file here and one line in ``registry.py``; docs/how-to/write-a-connector.md shows one.
The configuration is a pydantic model with flat fields; secrets are marked :func:`secret`. Its JSON
schema goes to the control plane as data (``contracts/connector_kinds.json``), so validation there
is exactly what the schema says. Methods import what they need when they are called: this module
and its heirs stay cheap.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from datanika.contracts.catalog import ConnectorKind
from datanika.contracts.spec import TableSpec
from datanika.contracts.steps import ResolvedConnection
from datanika.errors import TerminalStepError

if TYPE_CHECKING:
    from datanika.contracts.ad_hoc import (
        IntrospectAction,
        IntrospectionResult,
        PreviewAction,
        RowsResult,
        SlotsAction,
        SlotsResult,
    )
    from datanika.engines.dlt_engine.cdc.load import CdcLoad
    from datanika.engines.dlt_engine.move import MoveFromStaging
    from datanika.engines.dlt_engine.shape.privacy import Privacy
    from datanika.engines.dlt_engine.shape.screen import Screen
    from datanika.engines.dlt_engine.sources.base import SourceTable
    from datanika.engines.dlt_engine.table_load import TableLoad
    from datanika.engines.warehouse.base import Warehouse, WriterId


class ConnectorConfig(BaseModel):
    """Configuration of one kind; unknown fields are refused (no DSN tricks through extras)."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


def secret(title: str, description: str = "", default: Any = ..., **rules: Any) -> Any:
    """A field whose value is encrypted at rest and never shown again."""
    return Field(
        default=default,
        title=title,
        description=description or None,
        repr=False,
        json_schema_extra={"writeOnly": True},
        **rules,
    )


def _no_screen() -> None:
    return None


@dataclass(frozen=True)
class Reading:
    """What a source is asked for: one table of one load step."""

    connection: ResolvedConnection
    table: TableSpec
    folder: Path
    """Empty, of this table alone, and gone after the load: for files on their way, and spills."""
    writer: WriterId
    privacy: Privacy
    """What is to be hidden: a source that can hides it itself (``SourceTable.is_hidden``)."""
    normalize: Any
    """A source column's name -> its name in the destination."""
    source_schema: str | None = None
    as_text: frozenset[str] = frozenset()
    """Normalised names of columns that the destination holds as text already."""
    screen: Callable[[], Screen | None] = _no_screen
    """Where a reader of files puts the lines that it cannot read; None: they end the load."""


class Connector[C: ConnectorConfig]:
    """One kind of connection.

    A source gives either arrow batches (:meth:`open_table`) or rows (``gives_rows`` and
    :meth:`open_resource`). Everything here may raise what drivers raise; ``failures.py`` explains.
    """

    kind: ClassVar[str]
    title: ClassVar[str]
    description: ClassVar[str]
    config: type[C]
    is_source: ClassVar[bool] = False
    is_destination: ClassVar[bool] = False
    supports_transform: ClassVar[bool] = False
    gives_rows: ClassVar[bool] = False
    gives_changes: ClassVar[bool] = False
    """Whether the changes of a source's tables can be read from its log (CDC)."""
    takes_changes: ClassVar[bool] = False
    """Whether such changes can be applied to a destination's tables."""
    verified_live: ClassVar[bool] = True
    """Whether a test loads from, or into, the real thing."""
    docs: ClassVar[str] = ""
    """Markdown for the reference: what a table is, what its values become, what it cannot do."""

    def describe(self) -> ConnectorKind:
        """The kind as data for the control plane."""
        return ConnectorKind(
            kind=self.kind,
            title=self.title,
            description=self.description,
            is_source=self.is_source,
            is_destination=self.is_destination,
            supports_transform=self.supports_transform,
            gives_changes=self.is_source and self.gives_changes,
            takes_changes=self.is_destination and self.takes_changes,
            verified_live=self.verified_live,
            docs=self.docs,
            config_schema=self.config.model_json_schema(),
        )

    def parse(self, connection: ResolvedConnection) -> C:
        """The typed configuration; raises :class:`TerminalStepError` naming the field."""
        try:
            return self.config.model_validate(connection.config)
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            field = ".".join(str(part) for part in first["loc"])
            raise TerminalStepError(
                f"Connection {connection.name!r}: {field} is not valid ({first['msg']}).",
                code="connection_config_invalid",
                field=f"config.{field}",
                hint="Open the connection and correct this field.",
            ) from None

    def test(self, connection: ResolvedConnection) -> None:
        """Ask the other end one small question; return when it answers as it should."""
        raise NotImplementedError

    def introspect(self, action: IntrospectAction, folder: Path) -> IntrospectionResult:
        """One page of what there is, by schema and name."""
        raise TerminalStepError(
            f"A connection of kind {self.kind!r} cannot be looked into.",
            code="introspection_not_supported",
        )

    def preview(self, action: PreviewAction, folder: Path) -> RowsResult:
        """The first ``action.limit`` rows of a table, file or endpoint."""
        raise TerminalStepError(
            f"A connection of kind {self.kind!r} has nothing to preview.",
            code="preview_not_supported",
        )

    def query(
        self, connection: ResolvedConnection, sql: str, limit: int, folder: Path
    ) -> RowsResult:
        """The first ``limit`` rows of one statement that reads. ``folder``: where it may spill.

        Raises :class:`StepError`: ``query_not_read_only``, ``query_timeout``, ``sql_invalid``.
        """
        raise TerminalStepError(
            f"A connection of kind {self.kind!r} has no SQL.", code="query_not_supported"
        )

    def slots(self, action: SlotsAction) -> SlotsResult:
        """The replication slots that loads have at the source; only where ``gives_changes``."""
        raise TerminalStepError(
            f"A connection of kind {self.kind!r} has no replication slots.",
            code="slots_not_supported",
        )

    def open_table(self, reading: Reading) -> SourceTable:
        """The table as arrow batches; only where ``gives_rows`` is false."""
        raise self._unfit(reading.connection, "source")

    def open_resource(self, reading: Reading, start: Any = None) -> AbstractContextManager[Any]:
        """The table as a dlt resource of dicts; only where ``gives_rows``.

        ``start``: the cursor's value that a server which can filter may begin at.
        """
        raise self._unfit(reading.connection, "source")

    def open_warehouse(self, connection: ResolvedConnection, writer: WriterId) -> Warehouse:
        """The destination beside the engine: locks, counts, columns."""
        raise self._unfit(connection, "destination")

    def destination(
        self,
        connection: ResolvedConnection,
        writer: WriterId,
        warehouse: Warehouse,
        move: MoveFromStaging,
    ) -> Any:
        """The dlt destination; ``move`` is part of its merges."""
        raise self._unfit(connection, "destination")

    def loader(self, source: ResolvedConnection) -> type[TableLoad]:
        """What loads a table from ``source`` where no row of it has to be judged alone."""
        from datanika.engines.dlt_engine.table_load import TableLoad

        return TableLoad

    def changes_loader(self) -> type[CdcLoad]:
        """What keeps a table here equal to a source's by its changes; only where
        ``takes_changes``."""
        raise NotImplementedError

    def _unfit(self, connection: ResolvedConnection, what: str) -> TerminalStepError:
        return TerminalStepError(
            f"Connection {connection.name!r} of kind {self.kind!r} cannot be a {what}.",
            code="connection_kind_unfit",
        )
