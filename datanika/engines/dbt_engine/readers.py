"""Which nodes a breach of a load's contract keeps from being built: those that read the column of
which it tells, and what depends on them. Where nobody can tell what a node reads, it counts as a
reader."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from datanika.contracts.enums import DbtCommand
from datanika.contracts.events import ColumnBreach, Failure
from datanika.contracts.lineage import LineageKind, StatementLineage
from datanika.contracts.shape import BreachKind
from datanika.contracts.steps import BLOCKED
from datanika.engines.dbt_engine.lineage import RelationColumns, parents_of

CAN_BLOCK = frozenset({DbtCommand.BUILD, DbtCommand.RUN, DbtCommand.SNAPSHOT, DbtCommand.TEST})
_READERS = frozenset({"model", "snapshot"})
_DID = {
    BreachKind.FROZEN: "the load stopped there, so the table is as it was",
    BreachKind.DISCARDED: "the load left values of it out",
    BreachKind.QUARANTINED: "rows with values of it that do not fit are in quarantine",
}


@dataclass(frozen=True)
class Blocked:
    """Why a node is not built. ``through``: the unique id of the reader that it depends on; empty
    for a reader."""

    breach: ColumnBreach
    why: str
    through: str = ""

    def failure(self, names: Mapping[str, str]) -> Failure:
        """In words for the tenant; ``names`` by unique id."""
        one = self.breach
        what = one.relation if one.column is None else f"column {one.column!r} of {one.relation}"
        did = "the load did not make the table" if one.column is None else _DID[one.how]
        reads = f"It {self.why}" if not self.through else f"{names[self.through]} {self.why}"
        return Failure(
            code=BLOCKED,
            message=f"Not built: {reads} {what}, which broke its schema contract: {did}.",
            hint="Correct the source or the table's schema_contract and run it again. The step's "
            "blocked_by says which breaches keep models from being built.",
        )


def direct_readers(manifest: Any, relations: Iterable[str]) -> dict[str, set[str]]:
    """Unique ids of nodes that read one of ``relations``, perhaps through ephemeral models ->
    those that they read. Tests of a source are no readers: they say what is wrong with it."""
    wanted = set(relations)
    found = {}
    for unique_id, node in manifest.nodes.items():
        if str(node.resource_type) in _READERS and str(node.config.materialized) != "ephemeral":
            read = parents_of(manifest, node) & wanted
            if read:
                found[unique_id] = read
    return found


def blocked_by(
    manifest: Any,
    kind: str,
    readers: Mapping[str, set[str]],
    compiled: Mapping[str, str],
    breaches: Sequence[ColumnBreach],
    columns: RelationColumns,
) -> dict[str, Blocked]:
    """By unique id, in no order. ``compiled``: the SQL of ``readers``; one that does not compile
    is not there, and the build says why."""
    blocked: dict[str, Blocked] = {}
    for unique_id in readers:
        node = manifest.nodes[unique_id]
        for breach in breaches:
            if breach.relation in readers[unique_id] and unique_id in compiled:
                why = _reads(node, manifest, compiled[unique_id], kind, breach, columns)
                if why is not None:
                    blocked[unique_id] = Blocked(breach, why)
                    break
    children = _children(manifest)
    waiting = list(blocked)
    while waiting:
        parent = waiting.pop()
        for child in children.get(parent, ()):
            if child not in blocked:
                first = blocked[parent]
                blocked[child] = Blocked(first.breach, first.why, first.through or parent)
                waiting.append(child)
    return blocked


def _children(manifest: Any) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for unique_id, node in {**manifest.nodes, **manifest.unit_tests}.items():
        for parent in getattr(node.depends_on, "nodes", ()):
            found.setdefault(parent, []).append(unique_id)
    return found


def _reads(
    node: Any, manifest: Any, sql: str, kind: str, breach: ColumnBreach, columns: RelationColumns
) -> str | None:
    """What ``node`` does with the column, as in "It … column"; None: it does not read it."""
    from datanika.engines.lineage.trace import trace

    if breach.column is None:
        return "reads"
    if str(node.language) != "sql" or node.config.pre_hook or node.config.post_hook:
        return "may read"
    known = {name: columns.of(name) for name in parents_of(manifest, node)}
    names = known[breach.relation]
    absent = names is not None and breach.column not in names
    if absent and breach.how is BreachKind.FROZEN:
        # A star would read it as soon as it came.
        known[breach.relation] = (*(names or ()), breach.column)
    found = trace(sql, kind, known, database=str(node.database))
    if _touches(found, breach.relation, breach.column):
        return "reads"
    # One that it reads and does not name is read while it compiles, or is not understood.
    if breach.relation in found.reads and not _is_unsure(found):
        return None
    if absent and breach.how is not BreachKind.FROZEN:
        # The table has no such column, so only what names it can mean it.
        word = rf"(?<!\w){re.escape(breach.column)}(?!\w)"
        return "may read" if re.search(word, sql, re.IGNORECASE) else None
    return "may read"


def _touches(found: StatementLineage, relation: str, column: str) -> bool:
    origins = [*(found.rows or ())]
    for one in found.columns:
        origins += [*one.inputs, *one.indirect]
    return any((one.relation, one.column) == (relation, column) for one in origins)


def _is_unsure(found: StatementLineage) -> bool:
    return (
        found.rows is None
        or not found.complete
        or any(one.kind is LineageKind.UNKNOWN for one in found.columns)
    )
