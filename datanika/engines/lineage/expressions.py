"""The lineage of an expression: every column in it, unless something in it is not understood."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from sqlglot import exp

from datanika.contracts.lineage import LineageKind
from datanika.engines.lineage.dialects import Dialect
from datanika.engines.lineage.functions import AGGREGATES, SETS, words
from datanika.engines.lineage.names import find_column, find_source, resolve, row_value
from datanika.engines.lineage.values import NONE, Origin, Relation, Scope, Unsure, Value, computed

Query = Callable[[exp.Expr, Scope], Relation]
"""The relation of a subquery whose outer names are in the scope."""

_LEAVES = (
    exp.Literal,
    exp.Boolean,
    exp.Null,
    exp.Var,
    exp.DataType,
    exp.BitString,
    exp.HexString,
    exp.ByteString,
    exp.RawString,
    exp.UnicodeString,
    exp.National,
    exp.JSONPath,
    exp.IntervalSpan,
)
_BRANCHES = (
    exp.Func,
    exp.Binary,
    exp.Unary,
    exp.Any,
    exp.All,
    exp.Between,
    exp.In,
    exp.Tuple,
    exp.Interval,
    exp.Bracket,
    exp.Slice,
    exp.Order,
    exp.Ordered,
    exp.Filter,
    exp.Where,
    exp.WithinGroup,
    exp.Distinct,
    exp.IgnoreNulls,
    exp.RespectNulls,
    exp.HavingMax,
    exp.AtTimeZone,
    exp.FromTimeZone,
    exp.WindowSpec,
    exp.JSONKeyValue,
    exp.GroupingSets,
    exp.Rollup,
    exp.Cube,
)
_QUERIES = (exp.Subquery, exp.Select, exp.SetOperation, exp.Values)
_SETS = (
    exp.Unnest,
    exp.Explode,
    exp.Inline,
    exp.ExplodingGenerateSeries,
    exp.SplitToTable,
    exp.StrtokSplitToTable,
)
_REFUSED = tuple(
    getattr(exp, name)
    for name in words(
        """
        Columns ReadCSV ReadParquet NextValueFor OpenJSON JSONTable XMLTable XMLGet VectorSearch
        Predict GenerateEmbedding GenerateTable GenerateText GenerateBool GenerateInt GenerateDouble
        MLForecast MLTranslate AIForecast AIAgg AIClassify AIEmbed AIGenerate AISimilarity
        AISummarizeAgg Search SearchIp ParameterizedAgg CombinedParameterizedAgg CombinedAggFunc
        AnonymousAggFunc Seq1 Seq2 Seq4 Seq8 Generator ToFile Comprehension Flatten StoredProcedure
        """
    )
)


@dataclass
class _Found:
    """What was met on the way through an expression."""

    values: list[Value] = field(default_factory=list)
    of_rows: bool = False
    sets: list[exp.Expr] = field(default_factory=list)


class Expressions:
    """Reads expressions of one statement; ``query`` reads the subqueries in them."""

    def __init__(self, dialect: Dialect, query: Query) -> None:
        self._dialect, self._query = dialect, query

    def value(self, node: exp.Expr, scope: Scope) -> Value:
        """Raises :class:`Unsure`."""
        value, _ = self.value_and_sets(node, scope)
        return value

    def value_and_sets(self, node: exp.Expr, scope: Scope) -> tuple[Value, frozenset[Origin]]:
        """The value, and what set-returning functions in it make the number of rows depend on.

        Raises :class:`Unsure`.
        """
        while isinstance(node, exp.Paren | exp.Alias):
            node = node.this
        if isinstance(node, exp.Column):
            return resolve_column(node, scope, self._dialect), NONE
        found = self._walk(node, scope)
        rows: set[Origin] = set()
        for one in found.sets:
            rows |= computed(self._walk(one, scope).values).touched
        return computed(found.values, of_rows=found.of_rows), frozenset(rows)

    def _walk(self, root: exp.Expr, scope: Scope) -> _Found:
        found = _Found()
        stack: list[tuple[exp.Expr, frozenset[str]]] = [(root, frozenset())]
        while stack:
            node, bound = stack.pop()
            if isinstance(node, _LEAVES):
                continue
            if isinstance(node, exp.Column):
                if bound and self._dialect.key_of(node.parts[0]) in bound:
                    raise Unsure("a name of a lambda in another spelling")
                found.values.append(resolve_column(node, scope, self._dialect))
            elif isinstance(node, exp.Identifier):
                if node.name not in bound:
                    raise Unsure(f"{node.name!r} is not understood where it stands")
            elif isinstance(node, exp.Exists) and isinstance(node.this, _QUERIES):
                relation = self._query(node.this, scope)
                found.values.append(Value(LineageKind.TRANSFORMED, indirect=rows_of(relation)))
            elif isinstance(node, _QUERIES):
                relation = self._query(node, scope)
                inner = computed(item.value for item in relation.columns())
                kind = max(inner.kind, LineageKind.TRANSFORMED, key=_ORDER.__getitem__)
                found.values.append(
                    Value(kind, inner.inputs, inner.indirect | rows_of(relation), inner.reason)
                )
            else:
                stack.extend(self._children(node, scope, found, bound))
        return found

    def _children(
        self, node: exp.Expr, scope: Scope, found: _Found, bound: frozenset[str]
    ) -> list[tuple[exp.Expr, frozenset[str]]]:
        if isinstance(node, _REFUSED):
            raise Unsure(f"{node.key} is not understood")
        if isinstance(node, exp.Lambda):
            names = [one for one in node.expressions if isinstance(one, exp.Identifier)]
            if len(names) != len(node.expressions):
                raise Unsure("a lambda is not understood")
            inner = bound | {one.name for one in names} | {self._dialect.key_of(n) for n in names}
            return [(node.this, inner)]
        if isinstance(node, exp.Window):
            found.of_rows = True
            return [(child, bound) for child in self._window(node, scope)]
        if isinstance(node, exp.Dot):
            return self._dot(node, scope, found, bound)
        if isinstance(node, exp.PropertyEQ | exp.Kwarg):
            if not isinstance(node.this, exp.Identifier | exp.Literal | exp.Var):
                raise Unsure("a named argument is not understood")
            return [(node.expression, bound)]
        if isinstance(node, exp.Cast):
            return [(node.this, bound)]
        if isinstance(node, exp.Paren | exp.Alias):
            return [(node.this, bound)]
        if isinstance(node, exp.Count) and isinstance(node.this, exp.Star):
            if any(node.this.args.values()):
                raise Unsure("a star inside an expression")
            found.of_rows = True
            return []
        if not isinstance(node, _BRANCHES):
            raise Unsure(f"{node.key} is not understood")
        if isinstance(node, exp.Anonymous):
            self._check_function(node, found)
        if isinstance(node, exp.AggFunc | exp.RowNumber):
            found.of_rows = True
        if isinstance(node, _SETS):
            found.sets.extend(children_of(node))
        return [(child, bound) for child in children_of(node)]

    def _check_function(self, node: exp.Anonymous, found: _Found) -> None:
        if not isinstance(node.this, str):
            raise Unsure("a function whose name is quoted")
        name = node.this.lower()
        if self._dialect.functions is None or name not in self._dialect.functions:
            raise Unsure(f"the function {node.this!r} is not known")
        found.of_rows = found.of_rows or name in AGGREGATES
        sets = SETS if self._dialect.select_sets is None else self._dialect.select_sets
        if name in sets:
            found.sets.extend(children_of(node))

    def _window(self, node: exp.Window, scope: Scope) -> list[exp.Expr]:
        """The parts of a window function, those of a named window too."""
        parts = [child for key in ("partition_by", "order", "spec") for child in _list(node, key)]
        if node.args.get("first") is not None:
            raise Unsure("a window is not understood")
        if (name := node.args.get("alias")) is not None:
            named = scope.windows.get(self._dialect.key_of(name))
            if not isinstance(named, exp.Window):
                raise Unsure(f"there is no window {name.name!r}")
            parts += self._definition(named, scope)
        return [node.this, *parts]

    def _definition(self, named: exp.Window, scope: Scope, depth: int = 0) -> list[exp.Expr]:
        if depth > 20:
            raise Unsure("a window is not understood")
        parts = [child for key in ("partition_by", "order", "spec") for child in _list(named, key)]
        if (base := named.args.get("alias")) is not None:
            other = scope.windows.get(self._dialect.key_of(base))
            if not isinstance(other, exp.Window):
                raise Unsure(f"there is no window {base.name!r}")
            parts += self._definition(other, scope, depth + 1)
        return parts

    def _dot(
        self, node: exp.Dot, scope: Scope, found: _Found, bound: frozenset[str]
    ) -> list[tuple[exp.Expr, frozenset[str]]]:
        """A field of a value. ``(t).a`` where ``t`` is a relation is its column."""
        left, right = node.this, node.expression
        if not isinstance(right, exp.Identifier):
            raise Unsure("what stands after a point is not understood")
        if isinstance(left, exp.Identifier):
            if left.name not in bound:
                raise Unsure(f"{left.name!r} is not understood where it stands")
            return []
        if isinstance(left, exp.Paren) and isinstance(left.this, exp.Column):
            column = left.this
            if len(column.parts) == 1 and isinstance(column.this, exp.Identifier):
                key = self._dialect.key_of(column.this)
                source = find_source([key], scope)
                if source is not None:
                    if find_column(key, key, scope, self._dialect) is not None:
                        raise Unsure(f"{key!r} may be a column or a whole row")
                    value = source.relation.find(self._dialect.key_of(right))
                    if value is None:
                        raise Unsure(f"{key!r} has no column {right.name!r} that is known")
                    found.values.append(value)
                    return []
        return [(left, bound)]


_ORDER = {
    LineageKind.CONSTANT: 0,
    LineageKind.COPY: 1,
    LineageKind.TRANSFORMED: 2,
    LineageKind.AGGREGATED: 3,
    LineageKind.UNKNOWN: 4,
}


def resolve_column(node: exp.Column, scope: Scope, dialect: Dialect) -> Value:
    """A column, or ``alias.*`` as one value. Raises :class:`Unsure`."""
    if not isinstance(node.this, exp.Star):
        return resolve(node, scope, dialect)
    if dialect.sqlglot != "postgres" or any(node.this.args.values()):
        raise Unsure("a star inside an expression")
    source = find_source([dialect.key_of(part) for part in node.parts[:-1]], scope)
    if source is None:
        raise Unsure("the star of something that is not known")
    return row_value(source.relation)


def rows_of(relation: Relation) -> frozenset[Origin]:
    """What decides the rows of a relation. Raises :class:`Unsure`."""
    if relation.rows is None:
        raise Unsure(relation.rows_reason or "the rows of a relation cannot be told")
    return relation.rows


def children_of(node: exp.Expr) -> list[exp.Expr]:
    """The expressions that are arguments of ``node``."""
    found: list[exp.Expr] = []
    for value in node.args.values():
        if isinstance(value, list):
            found.extend(one for one in value if isinstance(one, exp.Expr))
        elif isinstance(value, exp.Expr):
            found.append(value)
    return found


def _list(node: exp.Expr, key: str) -> list[exp.Expr]:
    value = node.args.get(key)
    if isinstance(value, list):
        return [one for one in value if isinstance(one, exp.Expr)]
    return [value] if isinstance(value, exp.Expr) else []
