"""What the manifest says about relations, for the catalog."""

from __future__ import annotations

import json
from typing import Any

from datanika.contracts.docs import ColumnDocs, EntryDocs

MAX_TEXT = 20_000
"""Characters of all descriptions of a relation that are kept, and of all meta."""


class ManifestDocs:
    """The documentation of each node, with the tests that are about it."""

    def __init__(self, manifest: Any) -> None:
        self._nodes = {**manifest.nodes, **manifest.sources}
        self._tests: dict[str, list[tuple[str, str | None]]] = {}
        for test in [*manifest.nodes.values(), *manifest.unit_tests.values()]:
            if str(test.resource_type) in ("test", "unit_test"):
                for unique_id in _about(test):
                    column = getattr(test, "column_name", None)
                    self._tests.setdefault(unique_id, []).append((str(test.name), column))

    def of(self, node: Any) -> EntryDocs:
        """Of a model, seed, snapshot or source."""
        tests = sorted(self._tests.get(node.unique_id, ()), key=lambda one: one[0])
        texts, metas = _Budget(MAX_TEXT), _Budget(MAX_TEXT)
        description, meta = texts.text(node.description), metas.meta(node.meta)
        columns = {
            str(name): ColumnDocs(
                description=texts.text(column.description),
                tags=tuple(str(tag) for tag in column.tags or ()),
                meta=metas.meta(column.meta),
            )
            for name, column in node.columns.items()
        }
        for test, name in tests:
            if name is not None:
                known = columns.get(name, ColumnDocs())
                columns[name] = known.model_copy(update={"tests": (*known.tests, test)})
        return EntryDocs(
            node=str(node.unique_id),
            name=str(node.name),
            kind=str(node.resource_type),
            materialization=str(getattr(node.config, "materialized", "") or ""),
            description=description,
            tags=tuple(str(tag) for tag in node.tags or ()),
            meta=meta,
            columns=columns,
            tests=tuple(test for test, _ in tests),
        )

    def checked(self, test: Any) -> tuple[str, ...]:
        """The relations that a test, or the freshness of a source, is about."""
        if str(test.resource_type) == "source":
            return (f"{test.schema}.{test.identifier}",)
        found = []
        for unique_id in _about(test):
            node = self._nodes.get(unique_id)
            if node is not None and str(getattr(node.config, "materialized", "")) != "ephemeral":
                found.append(f"{node.schema}.{getattr(node, 'identifier', None) or node.alias}")
        return tuple(found[:500])


class _Budget:
    """``left``: characters that may still be told; what does not fit is left out."""

    def __init__(self, left: int) -> None:
        self.left = left

    def text(self, text: Any) -> str:
        kept = str(text or "")[: self.left]
        self.left -= len(kept)
        return kept

    def meta(self, meta: Any) -> dict[str, Any]:
        if not meta:
            return {}
        size = len(json.dumps(meta, default=str))
        if size > self.left:
            return {}
        self.left -= size
        return dict(meta)


def _about(test: Any) -> list[str]:
    """A generic test is about the node that it stands at, whatever else it reads."""
    attached = getattr(test, "attached_node", None)
    if attached:
        return [str(attached)]
    parents = [str(one) for one in test.depends_on.nodes]
    if getattr(test, "test_metadata", None) is not None:
        # Of a source: what it compares with comes after it.
        return parents[:1]
    return parents
