"""The columns and rows of a query: selects, set operations, values, common table expressions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from sqlglot import exp

from datanika.engines.lineage.dialects import Dialect
from datanika.engines.lineage.expressions import Expressions, rows_of
from datanika.engines.lineage.select import SelectReader
from datanika.engines.lineage.sources import Sources, renamed
from datanika.engines.lineage.values import (
    Item,
    Relation,
    Rows,
    Scope,
    Tree,
    Unsure,
    Value,
    computed,
    either,
)

_SET_ARGS = {"with_", "this", "expression", "distinct", "by_name", "order", "limit", "offset"}
_SUBQUERY_ARGS = {"this", "alias", "with_", "order", "limit", "offset"}
_MOST_ROUNDS = 50


class Queries:
    """Reads the queries of one statement."""

    def __init__(
        self,
        dialect: Dialect,
        tables: Mapping[str, tuple[str, ...] | None],
        database: str | None,
        default_schema: str | None,
    ) -> None:
        self._dialect = dialect
        self._expressions = Expressions(dialect, self.query)
        self.sources = Sources(
            dialect, tables, database, default_schema, self._expressions, self.query
        )
        self._selects = SelectReader(dialect, self._expressions, self.sources)

    def query(self, node: exp.Expr, outer: Scope) -> Relation:
        """The relation that ``node`` gives; ``outer``: the names around it. Raises
        :class:`Unsure`."""
        scope = self._with(node, outer)
        if isinstance(node, exp.Select):
            return self._selects.read(node, scope)
        if isinstance(node, exp.SetOperation):
            return self._set_operation(node, scope)
        if isinstance(node, exp.Subquery):
            return self._subquery(node, scope)
        if isinstance(node, exp.Values):
            return self._values(node, scope)
        raise Unsure(f"{node.key} is not understood")

    def _subquery(self, node: exp.Subquery, scope: Scope) -> Relation:
        if not _set_args(node) <= _SUBQUERY_ARGS:
            raise Unsure("a subquery is not understood")
        relation = self.query(node.this, scope)
        return self._ordered(node, relation, scope)

    def _ordered(self, node: exp.Expr, relation: Relation, scope: Scope) -> Relation:
        """``relation`` with ORDER BY and LIMIT, which see its output columns only."""
        if not any(node.args.get(key) for key in ("order", "limit", "offset")):
            return relation
        rows = Rows()
        rows.add(lambda: rows_of(relation))
        self._selects.order(node, relation, Scope(Tree(), scope), rows)
        return rows.of(replace(relation))

    def _set_operation(self, node: exp.SetOperation, scope: Scope) -> Relation:
        chain: list[exp.SetOperation] = []
        first: exp.Expr = node
        while isinstance(first, exp.SetOperation):
            if chain and _set_args(first) - {"this", "expression", "distinct", "by_name"}:
                break
            if not _set_args(first) <= _SET_ARGS:
                raise Unsure("a set operation is not understood")
            chain.append(first)
            first = first.this
        relation = self.query(first, scope)
        for one in reversed(chain):
            relation = self._both(one, relation, self.query(one.expression, scope))
        return self._ordered(node, relation, scope)

    def _both(self, node: exp.SetOperation, left: Relation, right: Relation) -> Relation:
        first, second = left.columns(), right.columns()
        rows = Rows()
        rows.add(lambda: rows_of(left) | rows_of(right))
        if not isinstance(node, exp.Union) or node.args.get("distinct"):
            rows.add(lambda: computed(i.value for i in (*first, *second)).touched)
        if node.args.get("by_name"):
            if not isinstance(node, exp.Union):
                raise Unsure("a set operation by name is not understood")
            return rows.of(Relation(items=[*_by_name(first, second)]))
        if len(first) != len(second):
            raise Unsure("a set operation over different numbers of columns")
        if not isinstance(node, exp.Union):
            return rows.of(Relation(items=[*first]))
        return rows.of(
            Relation(
                items=[
                    replace(one, value=either(one.value, other.value))
                    for one, other in zip(first, second, strict=True)
                ]
            )
        )

    def _values(self, node: exp.Values, scope: Scope) -> Relation:
        if not _set_args(node) <= {"expressions", "alias"}:
            raise Unsure("VALUES are not understood")
        items: list[Item] = []
        for number, row in enumerate(node.expressions):
            cells = row.expressions if isinstance(row, exp.Tuple) else [row]
            values = [_try(self._expressions, cell, scope) for cell in cells]
            if number == 0:
                items = [
                    Item(*_values_name(self._dialect, place), value)
                    for place, value in enumerate(values)
                ]
            elif len(values) != len(items):
                raise Unsure("rows of VALUES differ in their length")
            else:
                items = [
                    replace(item, value=either(item.value, value))
                    for item, value in zip(items, values, strict=True)
                ]
        return Relation(items=[*items])

    def _with(self, node: exp.Expr, outer: Scope) -> Scope:
        """The scope in which the common table expressions of ``node`` are known."""
        clause = node.args.get("with_")
        if clause is None:
            return outer
        if not _set_args(clause) <= {"expressions", "recursive"}:
            raise Unsure("WITH is not understood")
        scope = Scope(Tree(), outer)
        recursive = bool(clause.args.get("recursive"))
        if recursive:
            for cte in clause.expressions:
                key = self._dialect.key_of(cte.args["alias"].this)
                scope.ctes[key] = _lost("a query that stands after the one that reads it")
        for cte in clause.expressions:
            key = self._dialect.key_of(cte.args["alias"].this)
            scope.ctes = {**scope.ctes, key: self._cte(cte, key, scope, recursive)}
        return scope

    def _cte(self, cte: exp.CTE, key: str, scope: Scope, recursive: bool) -> Relation:
        try:
            if not _set_args(cte) <= {"this", "alias", "materialized"}:
                raise Unsure("a common table expression is not understood")
            columns = cte.args["alias"].args.get("columns") or []
            # Each is read with a scope of its own, because those after it may hide a name.
            inner = Scope(Tree(), scope.parent, ctes=dict(scope.ctes))
            itself = recursive or self._dialect.plain_recursion
            if itself and _reads(cte.this, key, self._dialect):
                return self._recursive(cte.this, columns, key, inner)
            if not recursive and self._dialect.sqlglot not in ("postgres", "duckdb"):
                inner.ctes.setdefault(key, _lost(f"{key!r} reads its own name"))
            return renamed(self.query(cte.this, inner), columns, self._dialect)
        except Unsure as reason:
            return _lost(str(reason))

    def _recursive(
        self, body: exp.Expr, columns: list[exp.Expr], key: str, scope: Scope
    ) -> Relation:
        """The least fixed point: what the first part gives, then what each round adds."""
        if not isinstance(body, exp.SetOperation) or not isinstance(body, exp.Union):
            raise Unsure("a recursive query is not understood")
        if _set_args(body) - {"this", "expression", "distinct"}:
            raise Unsure("a recursive query is not understood")
        if _reads(body.this, key, self._dialect):
            raise Unsure("a recursive query is not understood")
        known = renamed(self.query(body.this, scope), columns, self._dialect)
        for _ in range(_MOST_ROUNDS):
            scope.ctes = {**scope.ctes, key: known}
            after = renamed(self.query(body, scope), columns, self._dialect)
            joined = _joined(known, after)
            if joined == known:
                return known
            known = joined
        raise Unsure("a recursive query takes too many rounds")


def _joined(before: Relation, after: Relation) -> Relation:
    """All that two rounds of a recursion found."""
    items = [
        replace(one, value=either(one.value, other.value))
        for one, other in zip(before.columns(), after.columns(), strict=True)
    ]
    rows = Rows()
    rows.add(lambda: rows_of(before) | rows_of(after))
    return rows.of(Relation(items=[*items]))


def _by_name(first: list[Item], second: list[Item]) -> Iterator[Item]:
    keys = [[item.key for item in items] for items in (first, second)]
    if any(None in one or len(set(one)) < len(one) for one in keys):
        raise Unsure("a set operation by name over columns without one")
    others = {item.key: item for item in second}
    for item in first:
        other = others.pop(item.key, None)
        yield item if other is None else replace(item, value=either(item.value, other.value))
    yield from others.values()


def _try(expressions: Expressions, node: exp.Expr, scope: Scope) -> Value:
    from datanika.engines.lineage.values import unknown

    try:
        return expressions.value(node, scope)
    except Unsure as reason:
        return unknown(str(reason))


def _values_name(dialect: Dialect, place: int) -> tuple[str | None, str]:
    if dialect.values_names is None:
        return None, ""
    name = dialect.values_names.format(zero=place, one=place + 1)
    return name, name


def _reads(node: exp.Expr, key: str, dialect: Dialect) -> bool:
    return any(
        not table.args.get("db")
        and isinstance(table.this, exp.Identifier)
        and dialect.key_of(table.this) == key
        for table in node.find_all(exp.Table)
    )


def _lost(reason: str) -> Relation:
    return Relation(reason=reason, rows=None, rows_reason=reason)


def _set_args(node: exp.Expr) -> set[str]:
    return {key for key, value in node.args.items() if value not in (None, [], False)}
