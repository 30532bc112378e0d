"""The platform's replication slots in a source's database: what they hold, and whose they are.

A slot that nobody reads keeps the server's log for ever. A name says whose it is only to who knows
the organisation's name (``contracts/cdc.py``), so what is not among the known ones is left alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from datanika.contracts.ad_hoc import KnownSlot, SlotInfo, SlotsAction, SlotsResult
from datanika.contracts.cdc import SLOT_PREFIX
from datanika.contracts.steps import ResolvedConnection
from datanika.engines.connectors.postgres import PostgresTarget, locate
from datanika.engines.dlt_engine.cdc.slot import Slot
from datanika.engines.dlt_engine.direct.session import Session
from datanika.engines.failures import failure_of
from datanika.errors import TerminalStepError

NAME = "datanika slots"
_SLOTS = """
SELECT slot_name::text, wal_status, active,
    pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_lsn(), restart_lsn)::bigint,
    pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_lsn(), confirmed_flush_lsn)::bigint,
    safe_wal_size
FROM pg_catalog.pg_replication_slots
WHERE database = current_database() AND plugin = 'pgoutput' AND NOT temporary
    AND starts_with(slot_name::text, %s)
ORDER BY 1
"""
_PUBLICATIONS = """
SELECT pubname::text FROM pg_catalog.pg_publication WHERE starts_with(pubname::text, %s) ORDER BY 1
"""
_IDENTITY = """
SELECT system_identifier, (SELECT oid FROM pg_catalog.pg_database
    WHERE datname = current_database()) FROM pg_catalog.pg_control_system()
"""


def look_at_slots(action: SlotsAction) -> SlotsResult:
    """Every slot of the platform, and every publication without one; dropped as ``action`` says."""
    target = locate(action.connection)
    session = Session(target, NAME)
    try:
        known = _here(action, session)
        found = _found(session, known)
        if action.drop:
            found = [_dropped(session, target, one) if _may(one) else one for one in found]
        return SlotsResult(slots=tuple(found))
    finally:
        session.close()


def _may(one: SlotInfo) -> bool:
    return one.use == "unused"


def _here(action: SlotsAction, session: Session) -> dict[str, KnownSlot]:
    """The known slots; one that is read here through another connection is used."""
    present = {str(name) for (name, *_) in session.run(_SLOTS, [SLOT_PREFIX])}
    asked = [one for one in action.known if one.elsewhere and not one.is_used]
    # Only who is about to be dropped has to be looked after.
    ids = {number for one in asked if one.name in present for number in one.elsewhere}
    here = session.run(_IDENTITY)
    same = {one.id for one in action.others if one.id in ids and _identity(one) == here}
    known = {one.name: one for one in action.known}
    for one in asked:
        if same.intersection(one.elsewhere):
            known[one.name] = one.model_copy(update={"is_used": True})
    return known


def _identity(connection: ResolvedConnection) -> list[tuple[Any, ...]]:
    """Of the server and its database. What cannot be asked is an error: it may be the same."""
    session = Session(locate(connection), NAME)
    try:
        return session.run(_IDENTITY)
    finally:
        session.close()


def _found(session: Session, known: Mapping[str, KnownSlot]) -> list[SlotInfo]:
    slots = {
        str(name): SlotInfo(
            name=name,
            status=status or "reserved",
            active=bool(active),
            retained_bytes=retained,
            lag_bytes=lag,
            safe_bytes=safe,
            **_whose(name, known),
        )
        for name, status, active, retained, lag, safe in session.run(_SLOTS, [SLOT_PREFIX])
    }
    for (name,) in session.run(_PUBLICATIONS, [SLOT_PREFIX]):
        slots.setdefault(str(name), SlotInfo(name=name, **_whose(name, known)))
    return [slots[name] for name in sorted(slots)]


def _whose(name: str, known: Mapping[str, KnownSlot]) -> dict[str, Any]:
    one = known.get(name)
    if one is None:
        return {"use": "unknown"}
    use: Literal["used", "unused"] = "used" if one.is_used else "unused"
    return {"use": use, "pipeline_id": one.pipeline_id, "step_key": one.step_key}


def _dropped(session: Session, target: PostgresTarget, one: SlotInfo) -> SlotInfo:
    """It without its slot and publication, or why not."""
    slot = Slot(one.name, session, target)
    try:
        if one.status is not None:
            slot.drop()
        slot.drop_publication()
        if slot.published() is not None:
            raise _not_ours(target, [f'DROP PUBLICATION "{one.name}";'])
    except Exception as error:
        return one.model_copy(update={"failure": failure_of(_said(error, target, one.name))})
    return one.model_copy(update={"is_dropped": True})


def _said(error: Exception, target: PostgresTarget, name: str) -> Exception:
    import psycopg2.errors

    if isinstance(error, psycopg2.errors.InsufficientPrivilege):
        return _not_ours(
            target,
            [f"SELECT pg_drop_replication_slot('{name}');", f'DROP PUBLICATION "{name}";'],
        )
    return error


def _not_ours(target: PostgresTarget, sql: Sequence[str]) -> TerminalStepError:
    return TerminalStepError(
        f"The role {target.config.user!r} may not drop it.",
        code="cdc_no_privilege",
        hint=f"An administrator runs in {target.config.database}: {' '.join(sql)}",
    )
