"""Nodes that are left out because what they read broke its contract: found, and told of."""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping
from typing import Any

from datanika.contracts.events import ColumnBreach, Failure
from datanika.contracts.steps import BLOCKED, ResolvedTransform
from datanika.engines.dbt_engine.invocation import FLAGS, WITHOUT_ARTIFACTS, compile_failure
from datanika.engines.dbt_engine.lineage import RelationColumns
from datanika.engines.dbt_engine.nodes import NodeEvents
from datanika.engines.dbt_engine.readers import Blocked, blocked_by, direct_readers


def find_blocked(
    step: ResolvedTransform, manifest: Any, places: list[str], columns: RelationColumns
) -> tuple[dict[str, Blocked], Failure | None]:
    """(nodes that are not to be built because of breaches, why that could not be told)"""
    from dbt.cli.main import dbtRunner

    readers = direct_readers(manifest, (one.relation for one in step.breaches))
    if not readers:
        return {}, None
    # What dbt notes in nodes while it compiles them would keep it from compiling them again.
    kept = {
        unique_id: copy.deepcopy(node)
        for unique_id, node in manifest.nodes.items()
        if unique_id in readers or str(node.config.materialized) == "ephemeral"
    }
    names = [".".join(manifest.nodes[unique_id].fqn) for unique_id in readers]
    arguments = [*FLAGS, WITHOUT_ARTIFACTS, "compile", *places, "--select"]
    answer = dbtRunner(manifest=manifest).invoke([*arguments, *(f"fqn:{one}" for one in names)])
    if answer.exception is not None and getattr(answer, "result", None) is None:
        return {}, compile_failure(answer.exception)
    compiled = {
        str(one.node.unique_id): str(one.node.compiled_code)
        for one in getattr(answer.result, "results", None) or ()
        if str(one.status) == "success" and getattr(one.node, "compiled_code", None)
    }
    kind = step.destination.kind
    blocked = blocked_by(manifest, kind, readers, compiled, step.breaches, columns)
    manifest.nodes.update(kept)
    return blocked, None


def leave_out(
    left_out: Collection[str],
    selected: Collection[str],
    blocked: Mapping[str, Blocked],
    manifest: Any,
    events: NodeEvents,
) -> Failure | None:
    """Tell of the nodes; what the step says of them."""
    if not left_out:
        return None
    names = {unique_id: str(node.name) for unique_id, node in manifest.nodes.items()}
    breaches: dict[ColumnBreach, None] = {}
    for unique_id in sorted(left_out):
        one = blocked[unique_id]
        breaches.setdefault(one.breach)
        reason = {"breach": one.breach.model_dump(mode="json"), "through": one.through or None}
        events.skip(unique_id, one.failure(names), {"blocked_by": reason})
    columns = ", ".join(
        one.relation if one.column is None else f"{one.relation}.{one.column}" for one in breaches
    )
    return Failure(
        code=BLOCKED,
        message=f"{len(left_out)} of {len(selected)} nodes were not built, because what they read "
        f"broke its schema contract: {columns}.",
        hint="Correct the source or the table's schema_contract and run it again.",
    )
