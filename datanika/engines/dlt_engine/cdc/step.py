"""The tables of a load step that are kept equal by changes: one slot for all of them.

A run reads the log up to its end at the run's start, once; each table takes its changes from there
in a transaction of its own, in which it also remembers its place in the log. The slot is let go up
to the least of these places after that, so that whatever is killed in between is read again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datanika.contracts.cdc import slot_name
from datanika.contracts.enums import LogLevel
from datanika.contracts.shape import ContractMode
from datanika.contracts.spec import TableSpec
from datanika.contracts.steps import ResolvedLoad
from datanika.engines.connectors.postgres import PostgresTarget, locate
from datanika.engines.connectors.registry import connector_of
from datanika.engines.dlt_engine.cdc.slot import Slot, SlotState
from datanika.engines.dlt_engine.cdc.spool import Spool
from datanika.engines.dlt_engine.cdc.table import CdcTable, find_table
from datanika.engines.dlt_engine.direct.session import Session
from datanika.engines.dlt_engine.sources.postgres import split_name
from datanika.engines.emit import Emit, log
from datanika.engines.warehouse import WriterId
from datanika.errors import StepError, TerminalStepError

StateOf = Callable[[str], dict[str, Any]]
"""A destination table -> what its resource has stored of change data capture; empty: nothing, or
there is no such table."""


@dataclass(frozen=True)
class Work:
    """What has to be done for one table. ``state``: what is known of it; ``reason`` why it has to
    be read as a whole (None: its changes are enough)."""

    table: CdcTable
    state: Mapping[str, Any]
    reason: str | None


def _discards(spec: TableSpec) -> bool:
    return spec.schema_contract.columns is ContractMode.DISCARD_VALUE


class CdcStep:
    """Used under the tables' locks. Close it."""

    def __init__(self, step: ResolvedLoad, folder: Path, emit: Emit, state_of: StateOf) -> None:
        self._step, self._folder, self._emit, self._state_of = step, folder, emit, state_of
        self._tables = [
            one if one.target else one.model_copy(update={"target": one.name})
            for one in step.step.tables
            if one.sync == "cdc"
        ]
        self._work: dict[str, Work] = {}
        self._refused: dict[str, StepError] = {}
        self._failed: BaseException | None = None
        self._session: Session | None = None
        self._spool: Spool | None = None
        self._places: dict[str, int] = {}
        self.end = 0
        """Where the log ends for this run."""
        self.backlog: SlotState | None = None
        self.slot: Slot
        self.source: PostgresTarget
        """At one address for the whole run: a snapshot is of one server."""

    @property
    def session(self) -> Session:
        """To the source, in autocommit mode."""
        assert self._session is not None
        return self._session

    def work(self, target: str) -> Work:
        """What to do for a table, once everything is prepared.

        Raises :class:`StepError`: what keeps this table, or the step, from being loaded.
        """
        if self._failed is not None:
            raise self._failed
        if self._session is None:
            try:
                self._prepare()
            except BaseException as error:
                self._failed = error
                raise
        if target in self._refused:
            raise self._refused[target]
        return self._work[target]

    def messages(self, work: Work) -> Any:
        """The changes of a table since they were last let go."""
        assert self._spool is not None
        return self._spool.messages(work.table.oid)

    def committed(self, target: str, lsn: int) -> None:
        """The destination has all changes of a table before ``lsn``."""
        self._places[target] = lsn

    def finish(self) -> None:
        """Let go of what every table has. An error here loses nothing: the next run does it."""
        if self._session is None or self._failed is not None or not self._places:
            return
        least = min(self._places.values())
        try:
            before = self.slot.state()
            if before is not None and least > before.confirmed:
                self.slot.advance(least)
        except Exception as error:
            self._log(f"The slot {self.slot.name} was not moved on: {error}", LogLevel.WARNING)

    def close(self) -> None:
        """End the session to the source."""
        if self._session is not None:
            self._session.close()

    def _log(self, message: str, level: LogLevel = LogLevel.INFO) -> None:
        log(self._emit, self._step.step.key, message, level)

    # Preparing

    def _prepare(self) -> None:
        step = self._step
        if not connector_of(step.source).gives_changes:
            raise TerminalStepError(
                f"A connection of the kind {step.source.kind!r} gives no changes.",
                code="cdc_not_supported",
                field="sync",
            )
        self.source = locate(step.source)
        writer = WriterId(step.run_id, step.attempt)
        self._session = Session(self.source, writer.application_name)
        name = slot_name(step.owner, step.pipeline_key)
        self.slot = Slot(name, self._session, self.source)
        self.slot.check_server()
        found = self._find()
        if not found:
            return
        published, state = self.slot.published(), self.slot.state()
        self._work = self._judge(found, published)
        if not self._work:
            return
        follow = [one for one in self._work.values() if one.reason is None]
        others = self._others()
        if state is None or state.status == "lost" or published is None:
            state = self._begin_anew(state, follow, others)
        self._refuse_lost(state)
        self._publish(published, others)
        if state is None:
            self._log(f"Makes the replication slot {name}.")
            self.slot.create()
        self.end = self.slot.end_of_log()
        self.backlog = self.slot.state()
        self._read([one.table.oid for one in self._work.values() if one.reason is None])

    def _find(self) -> dict[str, tuple[TableSpec, CdcTable]]:
        found = {}
        for spec in self._tables:
            name = split_name(spec.name, self._step.step.source_schema)
            try:
                found[str(spec.target)] = (spec, find_table(self.session, name, spec))
            except StepError as error:
                target = str(spec.target)
                self._refused[target] = error
                # Its changes are kept until somebody corrects it, or takes it out of the step.
                self._hold(target, self._state_of(target))
        return found

    def _hold(self, target: str, state: Mapping[str, Any]) -> bool:
        """Keep the changes that a table has not got; whether it has got any."""
        if state.get("slot") != self.slot.name:
            return False
        self._places[target] = int(state["lsn"])
        return True

    def _judge(
        self, found: Mapping[str, tuple[TableSpec, CdcTable]], published: set[int] | None
    ) -> dict[str, Work]:
        work = {}
        for target, (spec, table) in found.items():
            state = self._state_of(target)
            reason = None
            begun = self._hold(target, state)
            if self._step.full_refresh:
                reason = "a full refresh"
            elif not begun:
                reason = "it is new"
            else:
                reason = table.outdated(state, state.get("left_out", ()) if _discards(spec) else ())
                if reason is None and published is not None and table.oid not in published:
                    reason = "it was taken out of the publication"
                if reason is not None and spec.deletes == "soft":
                    self._refused[target] = TerminalStepError(
                        f"{target!r} has to be read as a whole again: {reason}.",
                        code="cdc_resync_needed",
                        hint="That forgets the rows that are marked as deleted. Keep a copy of "
                        "them if you need them, and run a full refresh.",
                    )
                    continue
            work[target] = Work(table, state, reason)
        return work

    def _others(self) -> dict[str, dict[str, Any]]:
        """Tables of the step that this run leaves out: they still need their changes."""
        states = {target: self._state_of(target) for target in self._step.other_targets}
        return {target: state for target, state in states.items() if self._hold(target, state)}

    def _begin_anew(
        self, state: SlotState | None, follow: list[Work], others: Mapping[str, Any]
    ) -> SlotState | None:
        """The slot, or its publication, is gone: right before a first run, else changes are."""
        if follow or (others and not self._step.full_refresh):
            what = "was given up by its server" if state is not None else "is gone"
            raise TerminalStepError(
                f"The replication slot {self.slot.name!r}, or its publication, {what}: changes "
                "since the last run are lost.",
                code="cdc_slot_lost",
                hint="Run a full refresh, which reads the tables as a whole. Servers give slots up "
                "beyond max_slot_wal_keep_size, and most of them when they fail over.",
            )
        if state is not None:
            self.slot.drop()
        return None

    def _refuse_lost(self, state: SlotState | None) -> None:
        for target, one in list(self._work.items()):
            if one.reason is None and state is not None and state.confirmed > one.state["lsn"]:
                del self._work[target]
                self._refused[target] = TerminalStepError(
                    f"Changes of {target!r} were let go before they were loaded.",
                    code="cdc_slot_lost",
                    hint="Somebody else read the slot, or it was made again. Run a full refresh.",
                )

    def _publish(self, published: set[int] | None, others: Mapping[str, Any]) -> None:
        wanted = {one.table.oid: one.table for one in self._work.values()}
        missing = [one.name for oid, one in wanted.items() if oid not in (published or ())]
        self.slot.publish(missing, exists=published is not None)
        kept = {*wanted, *(one.get("oid") for one in others.values())}
        kept |= {self._state_of(target).get("oid") for target in self._refused}
        self.slot.unpublish([oid for oid in published or () if oid not in kept])

    def _read(self, oids: list[int]) -> None:
        self._spool = Spool(self._folder / "changes", oids)
        if oids:
            self.slot.peek(self.end, self._spool.add)
        self._spool.close()
        if self._spool.bytes:
            self._log(f"Read {self._spool.bytes} bytes of changes.")
