"""What the analysis knows of a value, a relation, and the names in scope."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from datanika.contracts.lineage import LineageKind

Origin = tuple[str, str]
"""(relation, column), both as the database spells them."""

NONE: frozenset[Origin] = frozenset()
_RANK = {
    LineageKind.CONSTANT: 0,
    LineageKind.COPY: 1,
    LineageKind.TRANSFORMED: 2,
    LineageKind.AGGREGATED: 3,
}


class Unsure(Exception):
    """The lineage of something cannot be told; the text says why."""


@dataclass(frozen=True, slots=True)
class Value:
    """Columns that go into a value, and those that decide only the rows it is made of."""

    kind: LineageKind = LineageKind.CONSTANT
    inputs: frozenset[Origin] = NONE
    indirect: frozenset[Origin] = NONE
    reason: str | None = None

    @property
    def known(self) -> bool:
        return self.kind is not LineageKind.UNKNOWN

    @property
    def touched(self) -> frozenset[Origin]:
        """All that it depends on. Raises :class:`Unsure` for an unknown value."""
        if not self.known:
            raise Unsure(self.reason or "unknown")
        return self.inputs | self.indirect


def unknown(reason: str) -> Value:
    """A value that cannot be told."""
    return Value(LineageKind.UNKNOWN, reason=reason)


def either(first: Value, second: Value) -> Value:
    """A value that is one of two: the branches of a set operation."""
    for value in (first, second):
        if not value.known:
            return value
    kind = first.kind
    if first.kind is not second.kind:
        kind = max((first.kind, second.kind, LineageKind.TRANSFORMED), key=_RANK.__getitem__)
    return Value(kind, first.inputs | second.inputs, first.indirect | second.indirect)


def computed(values: Iterable[Value], *, of_rows: bool = False) -> Value:
    """An expression over ``values``; ``of_rows``: it is made of several rows."""
    inputs, indirect, aggregated = set[Origin](), set[Origin](), of_rows
    for value in values:
        if not value.known:
            return value
        inputs |= value.inputs
        indirect |= value.indirect
        aggregated = aggregated or value.kind is LineageKind.AGGREGATED
    kind = LineageKind.CONSTANT
    if aggregated:
        kind = LineageKind.AGGREGATED
    elif inputs or indirect:
        kind = LineageKind.TRANSFORMED
    return Value(kind, frozenset(inputs), frozenset(indirect))


@dataclass(frozen=True, slots=True)
class Item:
    """An output column. ``key`` is its name as the dialect compares names; None: not known."""

    key: str | None
    label: str
    value: Value


@dataclass(frozen=True, slots=True)
class Rest:
    """Any number of columns of ``relation`` that are not known, without ``left_out``."""

    relation: Relation
    left_out: frozenset[str] = frozenset()


@dataclass(slots=True)
class Relation:
    """A table, subquery, or table function.

    ``rows``: columns that decide which rows there are; None when that cannot be told.
    ``base``: a table whose columns are not known. ``any_column``: what each column of a table
    function depends on. ``reason``: why nothing of it is known.
    """

    items: list[Item | Rest] = field(default_factory=list)
    rows: frozenset[Origin] | None = NONE
    rows_reason: str | None = None
    base: str | None = None
    any_column: Value | None = None
    reason: str | None = None

    @property
    def closed(self) -> bool:
        """Whether all of its columns and their order are known."""
        if self.base or self.any_column or self.reason:
            return False
        return all(isinstance(item, Item) for item in self.items)

    def columns(self) -> list[Item]:
        """All its columns in their order. Raises :class:`Unsure`."""
        if not self.closed:
            raise Unsure(self.reason or "the columns of a relation it reads are not known")
        return [item for item in self.items if isinstance(item, Item)]

    def named(self) -> bool:
        """Whether every column has a known name: then a name that is not there is not there."""
        return self.closed and all(isinstance(i, Item) and i.key is not None for i in self.items)

    def find(self, key: str) -> Value | None:
        """The column called ``key`` if it is certain to be there; None if it is not listed.

        Raises :class:`Unsure` for a name that is there twice, and for one after columns that are
        not known: where names may be there twice the first counts.
        """
        hits: list[Value] = []
        after_rest = False
        for item in self.items:
            if isinstance(item, Rest):
                after_rest = after_rest or key not in item.left_out
            elif item.key == key:
                if after_rest:
                    raise Unsure(f"a star may have a column {key!r} too")
                hits.append(item.value)
        if len(hits) > 1:
            raise Unsure(f"two columns are called {key!r}")
        return hits[0] if hits else None

    def assume(self, key: str, label: str, pseudo: frozenset[str]) -> Value:
        """The column called ``key``, which is known to exist and not listed. Raises
        :class:`Unsure`."""
        if self.reason:
            raise Unsure(self.reason)
        if self.any_column is not None:
            return self.any_column
        if key.lower() in pseudo:
            raise Unsure(f"{label!r} may be no column of a table")
        if self.base is not None:
            return Value(LineageKind.COPY, frozenset({(self.base, label)}))
        rests = [item for item in self.items if isinstance(item, Rest)]
        if len(rests) != 1 or any(isinstance(i, Item) and i.key is None for i in self.items):
            raise Unsure(f"where {label!r} comes from is not known")
        if key in rests[0].left_out:
            raise Unsure(f"{label!r} was left out of a star")
        found = rests[0].relation.find(key)
        return found or rests[0].relation.assume(key, label, pseudo)


@dataclass(slots=True)
class Rows:
    """Collects what decides the rows of a relation, until something cannot be told."""

    found: set[Origin] = field(default_factory=set)
    reason: str | None = None

    def add(self, what: Callable[[], Iterable[Origin]]) -> None:
        """Add what ``what`` gives; if it raises :class:`Unsure`, nothing is known any more."""
        try:
            self.found |= frozenset(what())
        except Unsure as reason:
            self.lose(str(reason))

    def lose(self, reason: str) -> None:
        self.reason = self.reason or reason

    def of(self, relation: Relation) -> Relation:
        """``relation`` with these rows."""
        relation.rows = None if self.reason else frozenset(self.found)
        relation.rows_reason = self.reason
        return relation


@dataclass(slots=True)
class Source:
    """A relation in FROM under the name it can be called by there."""

    relation: Relation
    alias: str | None
    schema: str | None = None


@dataclass(slots=True)
class Tree:
    """The sources of a FROM item, what ``*`` gives there, and its columns merged by USING."""

    sources: list[Source] = field(default_factory=list)
    star: list[Item | Rest] = field(default_factory=list)
    merged: dict[str, Value] = field(default_factory=dict)
    star_reason: str | None = None


@dataclass(slots=True)
class Scope:
    """Names that an expression can see. ``aliases``: columns of the select that it is in."""

    tree: Tree
    parent: Scope | None = None
    aliases: dict[str, Value] = field(default_factory=dict)
    use_aliases: bool = False
    windows: dict[str, object] = field(default_factory=dict)
    ctes: dict[str, Relation] = field(default_factory=dict)

    def levels(self) -> Iterator[Scope]:
        scope: Scope | None = self
        while scope is not None:
            yield scope
            scope = scope.parent
