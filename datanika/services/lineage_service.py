"""Questions about lineage: what a relation or a column is made of, and what depends on it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from sqlalchemy import ColumnElement, Select, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from datanika.contracts.api.lineage import (
    ImpactedOut,
    ImpactOut,
    LineageDirection,
    LineageEdgeOut,
    LineageGraphOut,
    LineageLevel,
    LineageNodeOut,
)
from datanika.errors import NotFound
from datanika.models import CatalogEntry, LineageEdge
from datanika.services.actor import Actor
from datanika.services.exposures import Exposures, load_exposures

MAX_NODES = 2000
DIRECT = ("copy", "transformed", "aggregated")

Relation = tuple[int, str, str]
"""(connection, schema, name)"""


@dataclass(frozen=True, slots=True)
class Node:
    """``column`` None: the relation; at the level of columns its rows."""

    relation: Relation
    column: str | None = None

    @property
    def key(self) -> str:
        connection_id, schema, name = self.relation
        column = "" if self.column is None else f"#{self.column}"
        return f"{connection_id}:{schema}.{name}{column}"


@dataclass
class _Graph:
    depths: dict[Node, int] = field(default_factory=dict)
    edges: dict[tuple[Node, Node, str], str | None] = field(default_factory=dict)
    truncated: bool = False

    def add(self, source: Node, target: Node, kind: str, reason: str | None = None) -> None:
        self.edges.setdefault((source, target, kind), reason)


class LineageService:
    """An organisation's lineage."""

    def __init__(self, session: AsyncSession, actor: Actor) -> None:
        self.session = session
        self.actor = actor
        self._entries: dict[Relation, CatalogEntry] = {}
        self._exposures = Exposures(())

    async def graph(
        self,
        entry_id: int,
        *,
        column: str | None,
        level: LineageLevel,
        direction: LineageDirection,
        depth: int,
        indirect: bool,
    ) -> LineageGraphOut:
        """The graph around an entry, or around a column of it. ``indirect``: also by what decides
        rows only. Raises :class:`NotFound`."""
        start = await self._start(entry_id, column)
        self._exposures = await load_exposures(self.session, self.actor.org_id)
        by_column = level is LineageLevel.COLUMN
        starts = [Node(start)]
        if by_column:
            entry = self._entries[start]
            names = [column] if column is not None else _columns_of(entry)
            starts = [Node(start, name) for name in names]
        graph = _Graph(dict.fromkeys(starts, 0))
        if direction is not LineageDirection.DOWNSTREAM:
            await self._walk(graph, starts, False, by_column, indirect, depth)
        if direction is not LineageDirection.UPSTREAM:
            below = await self._walk(graph, starts, True, by_column, indirect, depth)
            self._expose(graph, below, depth)
        return self._answer(graph)

    async def impact(self, entry_id: int, column: str, depth: int) -> ImpactOut:
        """What depends on a column of an entry, by values, by rows, or perhaps. Raises
        :class:`NotFound`."""
        start = Node(await self._start(entry_id, column), column)
        self._exposures = await load_exposures(self.session, self.actor.org_id)
        graph = _Graph({start: 0})
        below = await self._walk(graph, [start], True, True, True, depth)
        self._expose(graph, below, depth)
        found: dict[Relation, ImpactedOut] = {}
        kinds: dict[Node, set[str]] = {}
        for _, target, kind in graph.edges:
            kinds.setdefault(target, set()).add(kind)
        for node, distance in sorted(graph.depths.items(), key=lambda one: (one[1], one[0].key)):
            entry = self._entries.get(node.relation)
            exposure = self._exposures.known.get(node.relation)
            if node == start or (entry is None and exposure is None):
                continue
            connection_id, schema, name = node.relation
            one = found.setdefault(
                node.relation,
                ImpactedOut(
                    entry_id=entry.id if entry else None,
                    connection_id=connection_id,
                    schema_name=schema,
                    name=name,
                    kind=entry.kind if entry else "exposure",
                    depth=distance,
                    columns=[],
                    rows=False,
                    unknown=[],
                    exposure=exposure,
                ),
            )
            if exposure is not None:
                continue
            if node.column is None:
                one.rows = True
            elif kinds.get(node, set()) <= {"unknown"}:
                one.unknown.append(node.column)
            else:
                one.columns.append(node.column)
        for one in found.values():
            one.columns.sort()
            one.unknown.sort()
        return ImpactOut(items=list(found.values()), truncated=graph.truncated)

    def _expose(self, graph: _Graph, nodes: Iterable[Node], depth: int) -> None:
        """Add what uses ``nodes``: each as a relation, whatever the level."""
        for node in nodes:
            distance = graph.depths.get(node, depth)
            if distance >= depth:
                continue
            for used in self._exposures.of(node.relation, self._entries.get(node.relation)):
                target = Node(used)
                graph.add(node, target, "reads")
                known = graph.depths.get(target, depth)
                graph.depths[target] = min(known, distance + 1)

    async def _start(self, entry_id: int, column: str | None) -> Relation:
        self.actor.require("catalog:read")
        entry = await self.session.scalar(
            select(CatalogEntry).where(
                CatalogEntry.id == entry_id,
                CatalogEntry.org_id == self.actor.org_id,
                CatalogEntry.deleted_at.is_(None),
            )
        )
        if entry is None:
            raise NotFound("There is no such catalog entry.", code="catalog_entry_not_found")
        if column is not None and column not in _columns_of(entry):
            raise NotFound(
                "The catalog entry has no such column.",
                code="catalog_column_not_found",
                field="column",
            )
        return self._note(entry)

    def _note(self, entry: CatalogEntry) -> Relation:
        relation = (entry.connection_id, entry.schema_name, entry.name)
        self._entries[relation] = entry
        return relation

    async def _walk(
        self,
        graph: _Graph,
        starts: list[Node],
        down: bool,
        by_column: bool,
        indirect: bool,
        depth: int,
    ) -> set[Node]:
        """Breadth first: one question to the database for each step away. The nodes that were
        met, ``starts`` included."""
        here, seen = list(starts), set(starts)
        for distance in range(1, depth + 1):
            if not here:
                break
            await self._load({node.relation for node in here})
            step = self._downstream if down else self._upstream
            after: list[Node] = []
            for source, target, kind, reason in await step(here, by_column, indirect):
                graph.add(source, target, kind, reason)
                node = target if down else source
                if node in seen:
                    continue
                if len(graph.depths) >= MAX_NODES:
                    graph.truncated = True
                    graph.edges.pop((source, target, kind))
                    continue
                seen.add(node)
                graph.depths.setdefault(node, distance)
                after.append(node)
            here = after
        graph.truncated = graph.truncated or bool(here and await self._more(here, down))
        await self._load({node.relation for node in graph.depths})
        return seen

    async def _more(self, here: list[Node], down: bool) -> bool:
        """Whether anything is beyond these nodes."""
        await self._load({node.relation for node in here})
        relations = {node.relation for node in here}
        condition = _of(relations) if down else self._into(relations)
        return await self.session.scalar(self._edges(condition).limit(1)) is not None

    async def _upstream(
        self, here: list[Node], by_column: bool, indirect: bool
    ) -> list[tuple[Node, Node, str, str | None]]:
        relations = {node.relation for node in here}
        by_entry = {self._entries[r].id: r for r in relations if r in self._entries}
        found = await self.session.scalars(self._edges(self._into(relations)))
        nodes = set(here)
        steps: list[tuple[Node, Node, str, str | None]] = []
        for edge in found:
            source = (edge.from_connection_id, edge.from_schema, edge.from_name)
            target = by_entry[edge.entry_id]
            if not by_column:
                if edge.kind == "reads":
                    steps.append((Node(source), Node(target), "reads", None))
            elif edge.kind in DIRECT or (indirect and edge.kind in ("indirect", "rows")):
                for node in _targets(edge, target, nodes):
                    steps.append((Node(source, edge.from_column), node, edge.kind, None))
        return steps

    async def _downstream(
        self, here: list[Node], by_column: bool, indirect: bool
    ) -> list[tuple[Node, Node, str, str | None]]:
        relations = {node.relation for node in here}
        edges = list(await self.session.scalars(self._edges(_of(relations))))
        entries = await self._load_ids({edge.entry_id for edge in edges})
        by_relation: dict[Relation, list[Node]] = {}
        for node in here:
            by_relation.setdefault(node.relation, []).append(node)
        steps: list[tuple[Node, Node, str, str | None]] = []
        for edge in edges:
            if edge.entry_id not in entries:
                continue
            source = (edge.from_connection_id, edge.from_schema, edge.from_name)
            target = self._note(entries[edge.entry_id])
            for node in by_relation[source]:
                if not by_column:
                    if edge.kind == "reads":
                        steps.append((node, Node(target), "reads", None))
                elif edge.kind == "reads":
                    steps += _perhaps(node, target, entries[edge.entry_id], indirect)
                elif (
                    node.column is not None
                    and node.column == edge.from_column
                    and (edge.kind in DIRECT or (indirect and edge.kind in ("indirect", "rows")))
                ):
                    steps.append((node, Node(target, edge.to_column), edge.kind, None))
        return steps

    def _edges(self, condition: ColumnElement[bool]) -> Select[tuple[LineageEdge]]:
        return (
            select(LineageEdge)
            .where(LineageEdge.org_id == self.actor.org_id, condition)
            .order_by(LineageEdge.id)
        )

    def _into(self, relations: Iterable[Relation]) -> ColumnElement[bool]:
        ids = [self._entries[r].id for r in relations if r in self._entries]
        return LineageEdge.entry_id.in_(ids)

    async def _load(self, relations: set[Relation]) -> None:
        """The entries of these relations; tables of sources have none."""
        wanted = [relation for relation in relations if relation not in self._entries]
        if not wanted:
            return
        found = await self.session.scalars(
            select(CatalogEntry).where(
                CatalogEntry.org_id == self.actor.org_id,
                CatalogEntry.deleted_at.is_(None),
                tuple_(CatalogEntry.connection_id, CatalogEntry.schema_name, CatalogEntry.name).in_(
                    wanted
                ),
            )
        )
        for entry in found:
            self._note(entry)

    async def _load_ids(self, ids: set[int]) -> dict[int, CatalogEntry]:
        found = await self.session.scalars(
            select(CatalogEntry).where(
                CatalogEntry.org_id == self.actor.org_id,
                CatalogEntry.deleted_at.is_(None),
                CatalogEntry.id.in_(ids),
            )
        )
        return {entry.id: entry for entry in found}

    def _answer(self, graph: _Graph) -> LineageGraphOut:
        nodes = []
        for node, depth in graph.depths.items():
            entry = self._entries.get(node.relation)
            exposure = self._exposures.known.get(node.relation)
            connection_id, schema, name = node.relation
            told = ((entry.lineage or {}).get("columns") or {}) if entry else {}
            made = told.get(node.column) or {}
            nodes.append(
                LineageNodeOut(
                    key=node.key,
                    connection_id=connection_id,
                    schema_name=schema,
                    name=name,
                    column=node.column,
                    entry_id=entry.id if entry else None,
                    kind=entry.kind if entry else "exposure" if exposure else "source",
                    exposure=exposure,
                    depth=depth,
                    made=made.get("kind"),
                    reason=made.get("reason"),
                )
            )
        edges = [
            LineageEdgeOut(source=source.key, target=target.key, kind=kind, reason=reason)
            for (source, target, kind), reason in graph.edges.items()
            if source in graph.depths and target in graph.depths
        ]
        return LineageGraphOut(nodes=nodes, edges=edges, truncated=graph.truncated)


def _of(relations: Iterable[Relation]) -> ColumnElement[bool]:
    return tuple_(
        LineageEdge.from_connection_id, LineageEdge.from_schema, LineageEdge.from_name
    ).in_(list(relations))


def _targets(edge: LineageEdge, relation: Relation, nodes: set[Node]) -> list[Node]:
    """The nodes of ``nodes`` that ``edge`` goes into: what decides rows goes into each column."""
    if edge.kind == "rows":
        return [node for node in nodes if node.relation == relation]
    node = Node(relation, edge.to_column)
    return [node] if node in nodes else []


def _perhaps(
    node: Node, target: Relation, entry: CatalogEntry, indirect: bool
) -> list[tuple[Node, Node, str, str | None]]:
    """What a relation that reads ``node``'s may have of it, where that could not be told; and, of
    a relation with other rows, every relation that reads it."""
    steps: list[tuple[Node, Node, str, str | None]] = []
    columns = (entry.lineage or {}).get("columns") or {}
    for name, told in columns.items():
        if told.get("kind") == "unknown":
            steps.append((node, Node(target, name), "unknown", told.get("reason")))
    if not indirect:
        return steps
    reason = (entry.lineage or {}).get("rows_reason")
    if node.column is None:
        steps.append((node, Node(target), "rows", None))
    elif reason:
        steps.append((node, Node(target), "unknown", reason))
    return steps


def _columns_of(entry: CatalogEntry) -> list[str]:
    return [str(column["name"]) for column in entry.columns]
