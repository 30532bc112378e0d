"""What a name in an expression is: a column, a field of one, a whole row, an alias."""

from __future__ import annotations

from sqlglot import exp

from datanika.engines.lineage.dialects import PSEUDO_COLUMNS, Dialect
from datanika.engines.lineage.values import (
    Relation,
    Scope,
    Source,
    Unsure,
    Value,
    computed,
    unknown,
)


def resolve(column: exp.Column, scope: Scope, dialect: Dialect) -> Value:
    """The value that ``column`` stands for. Raises :class:`Unsure`."""
    parts = column.parts
    if not all(isinstance(part, exp.Identifier) for part in parts):
        raise Unsure("a star inside an expression")
    keys = [dialect.key_of(part) for part in parts]
    names = [part.name for part in parts]
    if len(keys) == 1:
        return _unqualified(keys[0], names[0], scope, dialect)
    found = _qualified(keys, names, scope, dialect)
    if not dialect.structs:
        if found is None:
            raise Unsure(f"{'.'.join(names)!r} is not known")
        return found
    if found is not None and dialect.sqlglot == "duckdb" and len(keys) == 2:
        # DuckDB reads a.b as a column of a before it tries a field of one called a.
        return found
    base = find_column(keys[0], names[0], scope, dialect)
    if found is not None and base is not None:
        raise Unsure(f"{'.'.join(names)!r} may be a column or a field of one")
    if found is not None:
        return found
    if base is None:
        raise Unsure(f"{'.'.join(names)!r} is not known")
    return computed([base])


def _unqualified(key: str, name: str, scope: Scope, dialect: Dialect) -> Value:
    found = find_column(key, name, scope, dialect)
    row = _whole_row(key, scope)
    if found is not None:
        if row is not None and dialect.sqlglot != "postgres" and not _is_local(key, scope):
            raise Unsure(f"{name!r} may be a column or a whole row")
        return found
    if row is not None and dialect.whole_rows:
        return row_value(row.relation)
    raise Unsure(f"there is no column {name!r} that is known")


def find_column(key: str, name: str, scope: Scope, dialect: Dialect) -> Value | None:
    """A column by its bare name, outward from ``scope``; None where there is none.

    Raises :class:`Unsure` when a relation whose columns are not known may have it.
    """
    first = True
    doubtful: Relation | None = None
    for level in scope.levels():
        hits, maybe = _at(level, key)
        if hits:
            if doubtful is not None or (maybe and not dialect.strict):
                raise Unsure(f"more than one relation may have the column {name!r}")
            if first and not dialect.strict and key in level.aliases:
                raise Unsure(f"{name!r} is a column and an alias")
            if len(hits) > 1:
                raise Unsure(f"more than one relation has the column {name!r}")
            return hits[0]
        if key in level.aliases and (dialect.aliases or level.use_aliases):
            if maybe or doubtful is not None or not (first and level.use_aliases):
                raise Unsure(f"{name!r} may be a column or an alias")
            return level.aliases[key]
        if maybe:
            if doubtful is not None or len(maybe) > 1:
                raise Unsure(f"more than one relation may have the column {name!r}")
            doubtful = maybe[0]
        first = False
    if doubtful is None:
        return None
    if _whole_row(key, scope) is not None and doubtful.any_column is None:
        raise Unsure(f"{name!r} may be a column or a whole row")
    return doubtful.assume(key, name, PSEUDO_COLUMNS)


def _at(level: Scope, key: str) -> tuple[list[Value], list[Relation]]:
    """(columns called ``key`` at this level, relations there that may have one)"""
    if key in level.tree.merged:
        return [level.tree.merged[key]], []
    hits, maybe = [], []
    for source in level.tree.sources:
        found = source.relation.find(key)
        if found is not None:
            hits.append(found)
        elif not source.relation.named():
            maybe.append(source.relation)
    return hits, maybe


def _is_local(key: str, scope: Scope) -> bool:
    return bool(_at(scope, key)[0])


def _whole_row(key: str, scope: Scope) -> Source | None:
    for level in scope.levels():
        for source in level.tree.sources:
            if source.alias == key:
                return source
    return None


def row_value(relation: Relation) -> Value:
    """A row as one value. Raises :class:`Unsure` unless all its columns are known."""
    if relation.any_column is not None:
        return relation.any_column
    value = computed(item.value for item in relation.columns())
    if not value.known:
        raise Unsure(value.reason or "unknown")
    return value


def find_source(keys: list[str], scope: Scope) -> Source | None:
    """The relation called ``alias`` or ``schema.table``, outward from ``scope``; None where there
    is none. Raises :class:`Unsure` for a name that two have."""
    for level in scope.levels():
        hits = [
            source
            for source in level.tree.sources
            if source.alias == keys[-1] and (len(keys) == 1 or source.schema == keys[-2])
        ]
        if len(hits) > 1:
            raise Unsure(f"two relations are called {keys[-1]!r}")
        if hits:
            return hits[0]
    return None


def _qualified(keys: list[str], names: list[str], scope: Scope, dialect: Dialect) -> Value | None:
    """``alias.column`` or ``schema.table.column``, and fields of these; None: no such thing."""
    found: Value | None = None
    for length in (1, 2, 3):
        if len(keys) <= length:
            break
        source = find_source(keys[:length], scope)
        if source is None:
            continue
        key, name = keys[length], names[length]
        value = source.relation.find(key)
        if value is None and source.relation.named():
            continue
        if value is None:
            value = source.relation.assume(key, name, PSEUDO_COLUMNS)
        if len(keys) > length + 1:
            if not dialect.structs:
                continue
            value = computed([value])
        if found is not None:
            raise Unsure(f"{'.'.join(names)!r} can be read in two ways")
        found = value
    if found is not None and not found.known:
        return unknown(found.reason or "unknown")
    return found
