"""Changes into PostgreSQL: the first reading by binary COPY, the rest by key."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

from datanika.contracts.enums import WriteDisposition
from datanika.engines.connectors.postgres import locate
from datanika.engines.dlt_engine.by_key import DELETED_AT
from datanika.engines.dlt_engine.cdc.apply import Applier, Lane, Staged
from datanika.engines.dlt_engine.cdc.convert import by_server
from datanika.engines.dlt_engine.cdc.load import CdcLoad
from datanika.engines.dlt_engine.cdc.step import Work
from datanika.engines.dlt_engine.direct.beside import Beside
from datanika.engines.dlt_engine.direct.choice import NotDirect, naming
from datanika.engines.dlt_engine.direct.columns import (
    TEXTS,
    existing_types,
    find,
    hint_of,
    missing_types,
    travel,
)
from datanika.engines.dlt_engine.direct.feeds import Feed
from datanika.engines.dlt_engine.direct.landing import Landed
from datanika.engines.dlt_engine.direct.postgres_load import MAX_NAME, PostgresLoad
from datanika.engines.dlt_engine.direct.session import Session, check, reading, writing
from datanika.engines.warehouse.base import qualified, quoted
from datanika.errors import TerminalStepError

_INDEX = "_datanika_key_"
_AS_TEXT = frozenset({"varchar", "text"})


class CdcPostgresLoad(CdcLoad):
    """Runs once, under the table's lock."""

    normalize = staticmethod(naming(MAX_NAME))  # type: ignore[assignment]

    def begin(self, work: Work, chosen: Sequence[str]) -> None:
        snapshot = _Snapshot(self, work, chosen)
        self.result = snapshot.run()
        self.result.path += " of a snapshot, then changes (CDC)"
        self.cdc.committed(self.target[1], snapshot.lsn)

    def open(self, stack: ExitStack) -> Session:
        name = self.warehouse.name_of_sessions(self.writer)
        return stack.enter_context(writing(locate(self.step.destination), name))

    def types(self, session: Session) -> dict[str, str]:
        return dict(existing_types(session, self.target))

    def check_fence(self, session: Session) -> None:
        check(session)

    def hint(self, kind: str) -> dict[str, Any]:
        return hint_of(kind)

    def lanes(
        self,
        session: Any,
        work: Work,
        chosen: Sequence[str],
        names: Mapping[str, str],
        existing: dict[str, str],
    ) -> list[Lane]:
        source = self.cdc.session
        spec = self.table.model_copy(update={"columns": tuple(chosen)})
        columns = find(source, work.table.name, spec)
        absent = missing_types(session, list(columns.values()))
        lanes = []
        for name in chosen:
            column, target = columns[name], names[name]
            one = travel(column, existing.get(target), absent)
            if one is None:
                raise TerminalStepError(
                    f"Column {name!r} is of the type {column.type}, which {existing[target]} "
                    "cannot hold.",
                    code="type_changed",
                    hint="Run a full refresh, which makes the column anew.",
                )
            into_text = one.type in TEXTS and column.is_common and column.kind not in _AS_TEXT
            convert = None
            if "to_json(" in one.expression or into_text:
                convert = by_server(source, name, column.type, one.expression)
            lanes.append(
                Lane(
                    source=name,
                    target=target,
                    native=column.type,
                    type=one.type,
                    stage="numeric" if one.check else one.type,
                    convert=convert,
                    check=one.check and one.check.replace(quoted(name), quoted(target), 1),
                    fill=work.table.columns[name].fill,
                )
            )
        return lanes

    def applier(self, session: Session, lanes: list[Lane], work: Work, load_id: str) -> Applier:
        return _PostgresApplier(
            session,
            self.target,
            lanes,
            work.table.key,
            load_id,
            soft=self.soft,
            time_type=self.time_type,
        )


class _Snapshot(PostgresLoad):
    """The table as a whole, in place of what is there."""

    def __init__(self, load: CdcPostgresLoad, work: Work, chosen: Sequence[str]) -> None:
        table = load.table.model_copy(
            update={"write_disposition": WriteDisposition.REPLACE, "columns": tuple(chosen)}
        )
        super().__init__(load.step, table, load.folder, load.emit, load.warehouse)
        self._load, self._work, self._chosen = load, work, chosen
        self.lsn = 0
        self._state: dict[str, Any] = {}

    def _before(self, saved: dict[str, Any]) -> dict[str, Any]:
        self._state = {**saved, "cdc": {}}
        return self._state

    def _source_session(self, stack: ExitStack, state: dict[str, Any]) -> Session:
        name = self.writer.application_name
        snapshot, self.lsn = stack.enter_context(self._load.cdc.slot.snapshot(name))
        session = stack.enter_context(reading(self._load.cdc.source, name))
        session.run(f"SET TRANSACTION SNAPSHOT '{snapshot}'")
        return session

    def _feeds(
        self, stack: ExitStack, into: Session, existing: dict[str, str], state: dict[str, Any]
    ) -> Iterator[Feed]:
        try:
            yield self._copy_feed(stack, into, existing, state)
        except NotDirect as why:
            raise TerminalStepError(
                f"{self.node} cannot be filled: {why}.",
                code="type_changed",
                hint="Drop what hangs on the table (views, constraints), or load into a new one.",
            ) from None

    def _land(
        self,
        into: Session,
        feed: Feed,
        existing: dict[str, str],
        load_id: str,
        before: str | None,
        counting: Beside[int],
    ) -> Landed:
        landed = super()._land(into, feed, existing, load_id, before, counting)
        load, target = self._load, qualified(self.target)
        here = existing_types(into, self.target)
        if load.soft:
            if DELETED_AT not in here:
                into.run(f"ALTER TABLE {target} ADD COLUMN {quoted(DELETED_AT)} {load.time_type}")
            existing[DELETED_AT] = load.time_type
        self._index(into, [self._normalize(one) for one in self._work.table.key])
        self._state["cdc"] = load.state_of(self._work, self._chosen, self.lsn, landed.filled)
        return landed

    def _index(self, into: Session, key: Sequence[str]) -> None:
        """One row a key, found without reading the table."""
        digest = hashlib.sha256("\0".join([self.target[1], *key]).encode()).hexdigest()[:16]
        name = f"{_INDEX}{digest}"
        old = into.run(
            "SELECT c.relname FROM pg_catalog.pg_index i "
            "JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid "
            "WHERE i.indrelid = to_regclass(%s) AND starts_with(c.relname, %s)",
            [qualified(self.target), _INDEX],
        )
        for (one,) in old:
            if one != name:
                into.run(f"DROP INDEX {qualified((self.target[0], one))}")
        if (name,) not in old:
            columns = ", ".join(map(quoted, key))
            into.run(f"CREATE UNIQUE INDEX {quoted(name)} ON {qualified(self.target)} ({columns})")


class _PostgresApplier(Applier):
    unlogged = "UNLOGGED"

    def fill(self, rows: list[Staged]) -> int:
        names = [lane.target for lane in self.lanes]
        columns = ", ".join(map(quoted, [*names, "_datanika_op", "_datanika_kept", DELETED_AT]))
        text = b"\n".join(map(_line, rows)) + b"\n"
        with self.session.connection.cursor() as cursor:
            cursor.copy_expert(
                f"COPY {self.staging} ({columns}) FROM STDIN (FORMAT csv)", io.BytesIO(text)
            )
            taken = int(cursor.rowcount)
        self.session.run(f"ANALYZE {self.staging}")
        return taken

    def empty(self) -> None:
        self.session.run(f"TRUNCATE {self.staging}")


def _line(row: Staged) -> bytes:
    values, op, kept, at = row
    fields = [
        b"" if value is None else b'"%b"' % value.replace(b'"', b'""')  # type: ignore[union-attr]
        for value in values
    ]
    fields += [
        op.encode(),
        (kept or "").encode(),
        b"" if at is None else at.isoformat(" ").encode(),
    ]
    return b",".join(fields)
