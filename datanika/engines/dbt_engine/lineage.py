"""The lineage of what a build has made, from its compiled SQL and the columns that are there."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from datanika.contracts.enums import LogLevel
from datanika.contracts.events import LineageFound, NodeFinished
from datanika.contracts.lineage import StatementLineage
from datanika.engines.dbt_engine.columns import ColumnReader
from datanika.engines.emit import Emit, log

MAX_SECONDS = 20.0
"""For all nodes of a step: what comes after it keeps the lineage that it had."""
_FROM_QUERY = frozenset({"view", "table", "materialized_view", "incremental"})
_BY_NAME = frozenset({"incremental"})
"""Their rows are inserted into columns by name."""


class LineageTeller:
    """Tells the lineage of the nodes of one invocation of dbt, after they were built."""

    def __init__(
        self, step_key: str, kind: str, manifest: Any, columns: ColumnReader, emit: Emit
    ) -> None:
        self._step_key, self._kind, self._manifest = step_key, kind, manifest
        self._emit = emit
        self._columns = RelationColumns(step_key, columns, emit)

    def tell(self, finished: Iterable[NodeFinished]) -> None:
        """One event for each relation that was built from a query."""
        built = [one for one in finished if one.relation and one.columns]
        for one in built:
            self._columns.know(str(one.relation), (column.name for column in one.columns))
        end = time.monotonic() + MAX_SECONDS
        for done, one in enumerate(built):
            if time.monotonic() > end:
                left = len(built) - done
                text = f"The lineage of {left} relation(s) was not worked out: it took too long."
                log(self._emit, self._step_key, text, LogLevel.WARNING)
                return
            node = self._manifest.nodes.get(one.node)
            if node is not None and str(node.resource_type) == "model":
                self._emit(
                    LineageFound(
                        step_key=self._step_key,
                        node=one.node,
                        relation=str(one.relation),
                        lineage=self._lineage(node, one),
                    )
                )

    def _lineage(self, node: Any, event: NodeFinished) -> StatementLineage:
        from datanika.engines.lineage.trace import nothing, trace

        parents = parents_of(self._manifest, node)
        names = self._columns.of(str(event.relation)) or ()
        materialized = str(node.config.materialized)
        sql = event.details.get("compiled_sql")
        contract = getattr(node.config, "contract", None)
        if materialized not in _FROM_QUERY or str(node.language) != "sql" or not sql:
            found = nothing(f"a {materialized} of {node.language} is not understood", names)
        else:
            relations = {name: self._columns.of(name) for name in parents}
            relations[str(event.relation)] = names
            found = trace(
                str(sql),
                self._kind,
                relations,
                database=str(node.database),
                columns=names,
                by_name=materialized in _BY_NAME or bool(getattr(contract, "enforced", False)),
            )
        return found.model_copy(update={"reads": tuple(sorted({*parents, *found.reads}))})


class RelationColumns:
    """The columns of relations by name, asked once each."""

    def __init__(self, step_key: str, columns: ColumnReader, emit: Emit) -> None:
        self._step_key, self._columns, self._emit = step_key, columns, emit
        self._known: dict[str, tuple[str, ...]] = {}

    def know(self, relation: str, columns: Iterable[str]) -> None:
        """What it has now, whatever was asked before."""
        self._known[relation] = tuple(columns)

    def of(self, relation: str) -> tuple[str, ...] | None:
        """In their order; None where they are not known."""
        if relation not in self._known:
            schema, _, name = relation.partition(".")
            try:
                columns = self._columns.read(schema, name)
            except Exception as error:
                text = f"The columns of {relation} could not be read ({type(error).__name__})."
                log(self._emit, self._step_key, text, LogLevel.WARNING)
                columns = ()
            self.know(relation, (column.name for column in columns))
        return self._known[relation] or None


def parents_of(manifest: Any, node: Any) -> set[str]:
    """The relations that a node reads, those behind ephemeral models too."""
    found: set[str] = set()
    seen: set[str] = set()
    stack = list(getattr(node.depends_on, "nodes", ()))
    while stack:
        unique_id = stack.pop()
        if unique_id in seen:
            continue
        seen.add(unique_id)
        source = manifest.sources.get(unique_id)
        parent = manifest.nodes.get(unique_id)
        if source is not None:
            found.add(f"{source.schema}.{source.identifier}")
        elif parent is not None and str(parent.config.materialized) == "ephemeral":
            stack.extend(parent.depends_on.nodes)
        elif parent is not None:
            found.add(f"{parent.schema}.{parent.alias}")
    return found
