"""What FROM gives: tables, subqueries, table functions, and joins of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from sqlglot import exp

from datanika.contracts.lineage import LineageKind
from datanika.engines.lineage.dialects import Dialect
from datanika.engines.lineage.expressions import Expressions, rows_of
from datanika.engines.lineage.functions import SETS
from datanika.engines.lineage.names import find_column
from datanika.engines.lineage.values import (
    Item,
    Relation,
    Rest,
    Rows,
    Scope,
    Source,
    Tree,
    Unsure,
    Value,
    computed,
    either,
)

_TABLE_ARGS = {"this", "alias", "db", "catalog", "joins", "laterals", "only", "ordinality", "hints"}
_JOIN_ARGS = {"this", "on", "side", "kind", "using", "method", "hint"}
_ONE_COLUMN = {"explodinggenerateseries", "generateseries", "generate_series", "range"}
_FUNCTION_KEYS = {"explodinggenerateseries", "generateseries", "explode", "posexplode"}


class Sources:
    """Reads the FROM clauses of one statement.

    ``tables``: columns by relation; None where they are not known. ``rows`` collects what decides
    the rows of the FROM clause that is read.
    """

    def __init__(
        self,
        dialect: Dialect,
        tables: Mapping[str, tuple[str, ...] | None],
        database: str | None,
        default_schema: str | None,
        expressions: Expressions,
        query: Callable[[exp.Expr, Scope], Relation],
    ) -> None:
        self._dialect, self._expressions, self._query = dialect, expressions, query
        self._tables = {self._stored(name): (name, columns) for name, columns in tables.items()}
        self._database, self._default_schema = database, default_schema
        self.reads: set[str] = set()

    def from_clause(self, select: exp.Expr, outer: Scope, rows: Rows) -> Tree:
        """The tree of a select's FROM with its joins. Raises :class:`Unsure`."""
        clause = select.args.get("from_")
        joins = list(select.args.get("joins") or ())
        if clause is None:
            if joins:
                raise Unsure("a join without FROM")
            return Tree()
        return self._joined(
            clause.this, joins, list(select.args.get("laterals") or ()), outer, rows
        )

    def _joined(
        self,
        first: exp.Expr,
        joins: list[exp.Join],
        laterals: list[exp.Expr],
        outer: Scope,
        rows: Rows,
    ) -> Tree:
        """Joins bind closer than commas: each part between commas is a tree of its own."""
        done = Tree()
        tree = self.item(first, outer, Tree(), rows)
        for join in joins:
            if not set(_set_args(join)) <= _JOIN_ARGS:
                raise Unsure("a join is not understood")
            if _is_comma(join):
                done, tree = _beside(done, tree), Tree()
                tree = self.item(join.this, outer, done, rows)
            else:
                tree = self._join(tree, join, outer, done, rows)
        tree = _beside(done, tree)
        for lateral in laterals:
            tree = _beside(tree, self.item(lateral, outer, tree, rows))
        return tree

    def _join(self, left: Tree, join: exp.Join, outer: Scope, before: Tree, rows: Rows) -> Tree:
        method, side, kind = (str(join.args.get(key) or "").upper() for key in _KINDS)
        if method not in ("", "NATURAL", "ASOF") or kind not in _JOIN_KINDS:
            raise Unsure(f"a {method or kind} join is not understood")
        if side not in ("", "LEFT", "RIGHT", "FULL"):
            raise Unsure(f"a {side} join is not understood")
        right = self.item(join.this, outer, _beside(before, left), rows)
        names = [self._dialect.key_of(one) for one in join.args.get("using") or ()]
        if method == "NATURAL":
            names = _common(left, right)
        if names and (method == "ASOF" or not self._dialect.strict):
            raise Unsure("how this dialect merges columns is not known")
        merged = {name: self._merge(name, left, right, side, rows) for name in names}
        if (condition := join.args.get("on")) is not None:
            scope = Scope(_beside(left, right), outer)
            rows.add(lambda: self._expressions.value(condition, scope).touched)
        if kind in ("SEMI", "ANTI"):
            return left
        joined = _beside(left, right)
        if not names:
            return joined
        return self._merged(left, right, merged, joined)

    def _merge(self, name: str, left: Tree, right: Tree, side: str, rows: Rows) -> Value:
        """The column that USING makes of one of each side."""
        first, second = self._of(name, left), self._of(name, right)
        rows.add(lambda: first.touched | second.touched)
        if side == "LEFT":
            return first
        if side == "RIGHT":
            return second
        # Equal where both are there; databases differ in which they take.
        value = either(first, second)
        return replace(value, kind=LineageKind.TRANSFORMED) if side == "FULL" else value

    def _of(self, name: str, tree: Tree) -> Value:
        found = find_column(name, name, Scope(tree), self._dialect)
        if found is None or not found.known:
            raise Unsure(f"which column {name!r} joins is not known")
        return found

    def _merged(self, left: Tree, right: Tree, merged: dict[str, Value], joined: Tree) -> Tree:
        """The tree of a join with USING: where ``*`` has the merged columns differs."""
        labels = {i.key: i.label for i in left.star if isinstance(i, Item) and i.key in merged}
        items = {key: Item(key, labels.get(key, key), value) for key, value in merged.items()}
        rest = [i for i in right.star if not (isinstance(i, Item) and i.key in merged)]
        own: list[Item | Rest]
        if self._dialect.merged_in_place:
            own = [items[i.key] if isinstance(i, Item) and i.key in items else i for i in left.star]
        else:
            own = [i for i in left.star if not (isinstance(i, Item) and i.key in merged)]
            own = [*items.values(), *own]
        reason = joined.star_reason
        if any(isinstance(i, Rest) for i in (*left.star, *right.star)):
            reason = "the columns of a relation that is joined with USING are not known"
        return Tree(joined.sources, [*own, *rest], {**joined.merged, **merged}, reason)

    def item(self, node: exp.Expr, outer: Scope, left: Tree, rows: Rows) -> Tree:
        """One item of FROM; ``left``: what stands before it.

        What is not understood becomes a relation of which nothing is known but its alias; without
        one :class:`Unsure` is raised.
        """
        try:
            return self._item(node, outer, left, rows)
        except Unsure as reason:
            if node.args.get("joins") or node.args.get("laterals") or not node.args.get("alias"):
                raise
            rows.lose(str(reason))
            lost = Relation(reason=str(reason), rows=None, rows_reason=str(reason))
            return _source(lost, self._alias(node), None)

    def _item(self, node: exp.Expr, outer: Scope, left: Tree, rows: Rows) -> Tree:
        beside = Scope(left, outer)
        if isinstance(node, exp.Table):
            return self._table(node, outer, beside, rows)
        if isinstance(node, exp.Subquery):
            return self._subquery(node, outer, beside if self._dialect.laterals else outer, rows)
        if isinstance(node, exp.Lateral):
            return self._lateral(node, beside, rows)
        if isinstance(node, exp.Unnest):
            return self._unnest(node, beside, rows)
        if isinstance(node, exp.Values):
            return self._named(self._query(node, beside), node, rows)
        raise Unsure(f"{node.key} in FROM is not understood")

    def _table(self, node: exp.Table, outer: Scope, beside: Scope, rows: Rows) -> Tree:
        if not set(_set_args(node)) <= _TABLE_ARGS:
            raise Unsure("a table with more than its name is not understood")
        joins, laterals = node.args.get("joins") or [], node.args.get("laterals") or []
        if joins or laterals:
            bare = node.copy()
            bare.set("joins", None)
            bare.set("laterals", None)
            return self._joined(bare, joins, laterals, outer, rows)
        if not isinstance(node.this, exp.Identifier):
            return self._function(node.this, node, beside, rows)
        if node.args.get("ordinality"):
            raise Unsure("a table with ordinality is not understood")
        relation, schema = self._relation(node, outer)
        return self._named(relation, node, rows, self._dialect.key_of(node.this), schema)

    def _relation(self, node: exp.Table, outer: Scope) -> tuple[Relation, str | None]:
        """A common table expression or a table, and the table's schema."""
        parts = [p for p in (node.args.get("catalog"), node.args.get("db"), node.this) if p]
        keys = [self._dialect.key_of(part) for part in parts]
        if len(keys) == 1:
            for level in outer.levels():
                if keys[0] in level.ctes:
                    return level.ctes[keys[0]], None
            if self._default_schema is None:
                return _lost(f"the schema of {node.name!r} is not known"), None
            keys = [self._dialect.stored(self._default_schema), *keys]
        elif any(s.alias == keys[0] for level in outer.levels() for s in level.tree.sources):
            raise Unsure("a table whose first name is an alias")
        database = self._database and self._dialect.stored(self._database)
        if len(keys) == 3 and keys[0] == database:
            keys = keys[1:]
        if tuple(keys) in self._tables:
            name, columns = self._tables[tuple(keys)]
        elif self._dialect.sqlglot == "duckdb" and len(parts) < 3:
            # The first of two names may be a database.
            return _lost(f"{node.name!r} is not known"), None
        else:
            name, columns = ".".join(keys), None
        self.reads.add(name)
        if columns is None:
            return Relation(base=name), keys[-2]
        copies = [
            Item(
                self._dialect.stored(column),
                column,
                Value(LineageKind.COPY, frozenset({(name, column)})),
            )
            for column in columns
        ]
        return Relation(items=list(copies)), keys[-2]

    def _stored(self, name: str) -> tuple[str, ...]:
        return tuple(self._dialect.stored(part) for part in name.split(".", 1))

    def _subquery(self, node: exp.Subquery, outer: Scope, scope: Scope, rows: Rows) -> Tree:
        inner = node.this
        if isinstance(inner, exp.Table | exp.Subquery) and (
            isinstance(inner, exp.Table) or inner.args.get("joins") or inner.alias
        ):
            # Parentheses around a join.
            if not set(_set_args(node)) <= {"this", "alias", "joins"}:
                raise Unsure("a join in parentheses is not understood")
            tree = self._joined(inner, [], [], outer, rows)
            if isinstance(inner, exp.Subquery) and (joins := inner.args.get("joins")):
                bare = inner.copy()
                bare.set("joins", None)
                tree = self._joined(bare, joins, [], outer, rows)
            if node.args.get("joins"):
                raise Unsure("a join in parentheses is not understood")
            if not node.args.get("alias"):
                return tree
            if tree.star_reason:
                raise Unsure(tree.star_reason)
            return self._named(Relation(items=list(tree.star)), node, rows)
        bare = node
        if joins := node.args.get("joins"):
            bare = node.copy()
            bare.set("joins", None)
            return self._joined(bare, joins, [], outer, rows)
        if node.args.get("alias"):
            bare = node.copy()
            bare.set("alias", None)
        return self._named(self._query(bare, scope), node, rows)

    def _lateral(self, node: exp.Lateral, beside: Scope, rows: Rows) -> Tree:
        inner = node.this
        if isinstance(inner, exp.Subquery):
            if node.args.get("ordinality"):
                raise Unsure("a lateral with ordinality is not understood")
            return self._named(self._query(inner, beside), node, rows)
        return self._function(inner, node, beside, rows)

    def _unnest(self, node: exp.Unnest, beside: Scope, rows: Rows) -> Tree:
        return self._function(node, node, beside, rows)

    def _function(self, function: exp.Expr, node: exp.Expr, beside: Scope, rows: Rows) -> Tree:
        """A table function: each of its columns depends on all of its arguments."""
        name = str(function.this).lower() if isinstance(function, exp.Anonymous) else function.key
        if name not in SETS and name not in _FUNCTION_KEYS:
            raise Unsure(f"the table function {name!r} is not known")
        arguments = [
            child
            for key, child in _children_by_key(function)
            if key not in ("alias", "offset", "joins")
        ]
        value = computed(self._expressions.value(child, beside) for child in arguments)
        rows.add(lambda: value.touched)
        columns = [] if (alias := node.args.get("alias")) is None else alias.args.get("columns")
        if name in _ONE_COLUMN and len(columns or ()) == 1:
            (column,) = columns
            item = Item(self._dialect.key_of(column), column.name, value)
            return _source(Relation(items=[item]), self._alias(node), None)
        return _source(Relation(any_column=value), self._alias(node), None)

    def _alias(self, node: exp.Expr) -> str | None:
        alias = node.args.get("alias")
        if alias is None or alias.args.get("this") is None:
            return None
        return self._dialect.key_of(alias.this)

    def _named(
        self,
        relation: Relation,
        node: exp.Expr,
        rows: Rows,
        name: str | None = None,
        schema: str | None = None,
    ) -> Tree:
        """A relation under the alias of ``node``, which may name its columns anew."""
        rows.add(lambda: rows_of(relation))
        alias = node.args.get("alias")
        if alias is None:
            return _source(relation, name, schema)
        if columns := alias.args.get("columns"):
            relation = renamed(relation, columns, self._dialect)
        return _source(relation, self._alias(node) or name, None if alias.this else schema)


_KINDS = ("method", "side", "kind")
_JOIN_KINDS = ("", "INNER", "OUTER", "CROSS", "SEMI", "ANTI")


def renamed(relation: Relation, columns: list[exp.Expr], dialect: Dialect) -> Relation:
    """``relation`` with other names for its first columns."""
    if not columns:
        return relation
    if not all(isinstance(column, exp.Identifier) for column in columns):
        return replace_reason(relation, "typed columns of an alias are not understood")
    if relation.reason:
        return relation
    if not relation.closed:
        return replace_reason(relation, "the columns that an alias names anew are not known")
    items = relation.columns()
    if len(columns) > len(items):
        return replace_reason(relation, "an alias names more columns than there are")
    new = [
        Item(dialect.key_of(column), column.name, item.value)
        for column, item in zip(columns, items, strict=False)
    ]
    return replace(relation, items=[*new, *items[len(new) :]])


def replace_reason(relation: Relation, reason: str) -> Relation:
    """A relation of which nothing but its rows is known."""
    return Relation(reason=reason, rows=relation.rows, rows_reason=relation.rows_reason)


def _lost(reason: str) -> Relation:
    return Relation(reason=reason, rows=None, rows_reason=reason)


def star_of(relation: Relation) -> list[Item | Rest]:
    """What ``alias.*`` gives."""
    return list(relation.items) if relation.closed else [Rest(relation)]


def _source(relation: Relation, alias: str | None, schema: str | None) -> Tree:
    return Tree([Source(relation, alias, schema)], star_of(relation))


def _beside(left: Tree, right: Tree) -> Tree:
    return Tree(
        [*left.sources, *right.sources],
        [*left.star, *right.star],
        {**left.merged, **right.merged},
        left.star_reason or right.star_reason,
    )


def _common(left: Tree, right: Tree) -> list[str]:
    """The columns that a NATURAL join merges, in the order of the left side."""
    keys = []
    for tree in (left, right):
        if tree.star_reason or any(isinstance(i, Rest) or i.key is None for i in tree.star):
            raise Unsure("the columns of a NATURAL join are not known")
        keys.append([i.key for i in tree.star if isinstance(i, Item) and i.key is not None])
    return [key for key in keys[0] if key in keys[1]]


def _is_comma(join: exp.Join) -> bool:
    if isinstance(join.this, exp.Lateral) and join.this.args.get("cross_apply") is not None:
        return False
    return not any(join.args.get(key) for key in ("on", "using", *_KINDS))


def _set_args(node: exp.Expr) -> list[str]:
    return [key for key, value in node.args.items() if value not in (None, [], False)]


def _children_by_key(node: exp.Expr) -> list[tuple[str, exp.Expr]]:
    found = []
    for key, value in node.args.items():
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, exp.Expr):
                found.append((key, one))
    return found
