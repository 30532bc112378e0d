"""One SELECT: its columns, and what decides its rows."""

from __future__ import annotations

from collections.abc import Iterator

from sqlglot import exp

from datanika.engines.lineage.dialects import Dialect
from datanika.engines.lineage.expressions import Expressions
from datanika.engines.lineage.names import find_source
from datanika.engines.lineage.sources import Sources, star_of
from datanika.engines.lineage.values import (
    Item,
    Origin,
    Relation,
    Rest,
    Rows,
    Scope,
    Tree,
    Unsure,
    Value,
    unknown,
)

_ARGS = {
    "with_",
    "expressions",
    "hint",
    "distinct",
    "from_",
    "laterals",
    "joins",
    "where",
    "group",
    "having",
    "qualify",
    "windows",
    "order",
    "limit",
    "offset",
    "locks",
    "sort",
    "distribute",
    "cluster",
}


class SelectReader:
    """Reads the selects of one statement."""

    def __init__(self, dialect: Dialect, expressions: Expressions, sources: Sources) -> None:
        self._dialect, self._expressions, self._sources = dialect, expressions, sources

    def read(self, node: exp.Select, outer: Scope) -> Relation:
        """The relation of ``node``. Raises :class:`Unsure`."""
        strange = {key for key, value in node.args.items() if value not in (None, [], False)}
        if strange - _ARGS:
            raise Unsure(f"{', '.join(sorted(strange - _ARGS))} in a select is not understood")
        rows = Rows()
        scope = Scope(self._sources.from_clause(node, outer, rows), outer)
        for window in node.args.get("windows") or ():
            scope.windows[self._dialect.key_of(window.this)] = window
        scope.use_aliases = self._dialect.aliases
        relation = Relation(items=list(self._items(node, scope, rows)))
        self._filters(node, scope, rows)
        self._group(node, relation, scope, rows)
        self._distinct(node, relation, scope, rows)
        self.order(node, relation, scope, rows)
        return rows.of(relation)

    def _items(self, node: exp.Select, scope: Scope, rows: Rows) -> Iterator[Item | Rest]:
        for projection in node.expressions:
            star = projection.this if isinstance(projection, exp.Column) else projection
            if isinstance(star, exp.Star):
                yield from self._star(projection, star, scope)
                continue
            item = self._item(projection, scope, rows)
            if isinstance(item, Item) and isinstance(projection, exp.Alias) and item.key:
                twice = item.key in scope.aliases
                again = unknown(f"two columns are called {item.label!r}")
                scope.aliases[item.key] = again if twice else item.value
            yield item

    def _item(self, projection: exp.Expr, scope: Scope, rows: Rows) -> Item | Rest:
        if isinstance(projection, exp.Aliases | exp.PropertyEQ):
            raise Unsure("several names of one expression are not understood")
        try:
            value, sets = self._expressions.value_and_sets(projection, scope)
        except Unsure as reason:
            value, sets = unknown(str(reason)), frozenset[Origin]()
            if projection.find(exp.Unnest, exp.Explode, exp.Anonymous):
                # It may be set-returning.
                rows.lose(str(reason))
        rows.found |= sets
        if self._unpacks(projection):
            return Rest(Relation(any_column=value))
        name = _name_of(projection)
        if name is None:
            return Item(None, "", value)
        return Item(self._dialect.key_of(name), name.name, value)

    def _unpacks(self, projection: exp.Expr) -> bool:
        """Whether it may be several columns: DuckDB makes one of each field of a struct."""
        bare = projection.unalias()
        if isinstance(bare, exp.Explode | exp.Unnest):
            return self._dialect.sqlglot != "postgres"
        if isinstance(bare, exp.Columns):
            return True
        return isinstance(bare, exp.Dot) and isinstance(bare.expression, exp.Star)

    def _star(self, projection: exp.Expr, star: exp.Star, scope: Scope) -> Iterator[Item | Rest]:
        items = self._starred(projection, scope)
        if star.args.get("ilike"):
            yield Rest(Relation(reason="a star with a pattern is not understood"))
            return
        left_out = [self._plain_key(one) for one in star.args.get("except_") or ()]
        replaced = {
            self._dialect.key_of(one.args["alias"]): one for one in star.args.get("replace") or ()
        }
        renames = {
            self._plain_key(one.this): one.args["alias"] for one in star.args.get("rename") or ()
        }
        for item in items:
            if isinstance(item, Rest):
                if replaced or renames:
                    yield Rest(Relation(reason="a star with changes over unknown columns"))
                else:
                    yield Rest(item.relation, item.left_out | frozenset(left_out))
                continue
            key, label, value = item.key, item.label, item.value
            if key in left_out:
                continue
            if key in replaced:
                value = self._try(replaced[key], scope)
            if key in renames:
                key, label = self._dialect.key_of(renames[key]), renames[key].name
            yield Item(key, label, value)

    def _starred(self, projection: exp.Expr, scope: Scope) -> list[Item | Rest]:
        if isinstance(projection, exp.Star):
            if scope.tree.star_reason:
                return [Rest(Relation(reason=scope.tree.star_reason))]
            return scope.tree.star
        assert isinstance(projection, exp.Column)
        keys = [self._dialect.key_of(part) for part in projection.parts[:-1]]
        source = find_source(keys, scope)
        if source is None:
            return [Rest(Relation(reason="the star of something that is not known"))]
        return star_of(source.relation)

    def _plain_key(self, node: exp.Expr) -> str:
        if isinstance(node, exp.Column) and len(node.parts) == 1:
            node = node.this
        if not isinstance(node, exp.Identifier):
            raise Unsure("a name in a star is not understood")
        return self._dialect.key_of(node)

    def _try(self, node: exp.Expr, scope: Scope) -> Value:
        try:
            return self._expressions.value(node, scope)
        except Unsure as reason:
            return unknown(str(reason))

    def _filters(self, node: exp.Select, scope: Scope, rows: Rows) -> None:
        if (where := node.args.get("where")) is not None:
            rows.add(lambda: self._expressions.value(where.this, scope).touched)
        scope.use_aliases = self._dialect.sqlglot != "postgres"
        for key in ("having", "qualify"):
            if (clause := node.args.get(key)) is not None:
                rows.add(lambda one=clause: self._expressions.value(one.this, scope).touched)  # type: ignore[misc]
        scope.use_aliases = True

    def _group(self, node: exp.Select, relation: Relation, scope: Scope, rows: Rows) -> None:
        group = node.args.get("group")
        if group is None:
            return
        strange = {k for k, v in group.args.items() if v not in (None, [], False)}
        if strange - {"expressions", "grouping_sets", "cube", "rollup", "all"}:
            rows.lose("GROUP BY is not understood")
            return
        if group.args.get("all"):
            rows.add(lambda: _all_of(relation))
        for key in ("expressions", "grouping_sets", "cube", "rollup"):
            for one in group.args.get(key) or ():
                for part in _parts(one):
                    rows.add(lambda part=part: self._at(part, relation, scope).touched)  # type: ignore[misc]

    def _distinct(self, node: exp.Select, relation: Relation, scope: Scope, rows: Rows) -> None:
        distinct = node.args.get("distinct")
        if distinct is None:
            return
        if (on := distinct.args.get("on")) is None:
            rows.add(lambda: _all_of(relation))
            return
        for part in _parts(on):
            rows.add(lambda part=part: self._at(part, relation, scope, first=True).touched)  # type: ignore[misc]

    def order(self, node: exp.Expr, relation: Relation, scope: Scope, rows: Rows) -> None:
        """ORDER BY, LIMIT and their like. A bare name is an output column before one of FROM."""
        for key in ("order", "sort", "distribute", "cluster"):
            clause = node.args.get(key)
            for one in clause.expressions if clause is not None else ():
                by = one.this if isinstance(one, exp.Ordered) else one
                if isinstance(by, exp.Var) and by.name.upper() == "ALL":
                    rows.add(lambda: _all_of(relation))
                else:
                    rows.add(lambda by=by: self._at(by, relation, scope, first=True).touched)  # type: ignore[misc]
        for key in ("limit", "offset"):
            clause = node.args.get(key)
            if clause is None:
                continue
            if isinstance(clause, exp.Fetch):
                by = clause.args.get("count")
            else:
                by = clause.args.get("expression")
            if clause.expressions:
                rows.lose("LIMIT BY is not understood")
            if by is not None:
                rows.add(lambda by=by: self._expressions.value(by, Scope(Tree(), scope)).touched)  # type: ignore[misc]

    def _at(
        self, node: exp.Expr, relation: Relation, scope: Scope, *, first: bool = False
    ) -> Value:
        """A term of GROUP BY or ORDER BY: a place, an output name, or an expression."""
        if isinstance(node, exp.Literal) and not node.is_string:
            return relation.columns()[int(node.this) - 1].value
        if first and isinstance(node, exp.Column) and len(node.parts) == 1:
            found = relation.find(self._dialect.key_of(node.this))
            if found is not None:
                return found
            if not relation.named() and not scope.tree.sources:
                raise Unsure("the columns of a relation that is ordered are not known")
        return self._expressions.value(node, scope)


def _name_of(projection: exp.Expr) -> exp.Identifier | None:
    """The name of an output column where every dialect agrees on it."""
    if isinstance(projection, exp.Alias):
        alias = projection.args["alias"]
        return alias if isinstance(alias, exp.Identifier) else None
    node = projection
    if isinstance(node, exp.Column | exp.Dot):
        last = node.this if isinstance(node, exp.Column) else node.expression
        return last if isinstance(last, exp.Identifier) else None
    return None


def _parts(node: exp.Expr) -> Iterator[exp.Expr]:
    """The terms of GROUP BY, those inside of ROLLUP, CUBE, GROUPING SETS and parentheses too."""
    if isinstance(node, exp.Tuple | exp.Rollup | exp.Cube | exp.GroupingSets):
        for one in node.expressions:
            yield from _parts(one)
    elif isinstance(node, exp.Paren):
        yield from _parts(node.this)
    else:
        yield node


def _all_of(relation: Relation) -> frozenset[Origin]:
    found: set[Origin] = set()
    for item in relation.columns():
        found |= item.value.touched
    return frozenset(found)
