"""The lineage of one SQL query, as data."""

from __future__ import annotations

import contextlib
import re
import signal
import threading
from collections.abc import Iterable, Iterator, Mapping
from types import FrameType

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from datanika.contracts.lineage import (
    ColumnLineage,
    LineageKind,
    SourceColumn,
    StatementLineage,
)
from datanika.engines.lineage.dialects import DIALECTS, PSEUDO_COLUMNS, Dialect, unknown_calls
from datanika.engines.lineage.functions import WORDS
from datanika.engines.lineage.queries import Queries
from datanika.engines.lineage.values import (
    Item,
    Origin,
    Relation,
    Rest,
    Scope,
    Tree,
    Unsure,
    Value,
    unknown,
)

MAX_CHARACTERS = 200_000
MAX_TOKENS = 40_000
MAX_DEPTH = 60
"""Of parentheses and of CASE: the parser's time may grow with 2 to the power of the depth."""
MAX_SECONDS = 2.0


def trace(
    sql: str,
    kind: str,
    relations: Mapping[str, Iterable[str] | None],
    *,
    database: str | None = None,
    default_schema: str | None = None,
    columns: Iterable[str] | None = None,
    by_name: bool = False,
) -> StatementLineage:
    """The lineage of the query ``sql`` for a connection of ``kind``.

    ``relations``: columns by ``schema.table``, in their order, as the database spells them; None
    where they are not known. ``columns``: those of the relation that was made of the query: the
    answer is about them. They are compared by their places, or with ``by_name`` by name, as an
    INSERT into a table that was there before takes them.

    Raises nothing: what cannot be told is ``unknown``, with the reason.
    """
    dialect = DIALECTS.get(kind)
    names = None if columns is None else list(columns)
    if dialect is None:
        return nothing(f"SQL of {kind} is not understood", names)
    known = {name: None if of is None else tuple(of) for name, of in relations.items()}
    try:
        with _time_limit(MAX_SECONDS):
            statement = _parse(sql, dialect)
            queries = Queries(dialect, known, database, default_schema)
            relation = queries.query(statement, Scope(Tree()))
            return _answer(relation, queries.sources.reads, names, dialect, by_name)
    except Unsure as reason:
        return nothing(str(reason), names)
    except RecursionError:
        return nothing("the query is nested too deep", names)
    except _TooSlow:
        return nothing("the query took too long to read", names)
    except SqlglotError:
        return nothing("the query could not be parsed", names)
    except Exception as error:
        # The parser's own mistakes, over SQL that anybody may write.
        return nothing(f"the query could not be read ({type(error).__name__})", names)


def _parse(sql: str, dialect: Dialect) -> exp.Expr:
    if len(sql) > MAX_CHARACTERS:
        raise Unsure("the query is too long")
    tokens = sqlglot.tokenize(sql, read=dialect.sqlglot)
    if len(tokens) > MAX_TOKENS:
        raise Unsure("the query is too long")
    depth = 0
    for token in tokens:
        if token.token_type.name in ("L_PAREN", "L_BRACKET", "L_BRACE", "CASE"):
            depth += 1
        elif token.token_type.name in ("R_PAREN", "R_BRACKET", "R_BRACE", "END"):
            depth -= 1
        if depth > MAX_DEPTH:
            raise Unsure("the query is nested too deep")
    statements = [one for one in sqlglot.parse(sql, read=dialect.sqlglot) if one is not None]
    if len(statements) != 1:
        raise Unsure("it is not one query")
    (statement,) = statements
    called = unknown_calls([(t.token_type.name, t.text) for t in tokens], dialect, WORDS)
    for name in _named_here(statement, called):
        raise Unsure(f"the function {name!r} is not known")
    return statement


def _named_here(statement: exp.Expr, called: Mapping[str, int]) -> list[str]:
    """Calls that the parser took for a function that it knows, where the engine has none."""
    if not called:
        return []
    counts = dict(called)
    for node in statement.find_all(exp.TableAlias, exp.Anonymous, exp.Window):
        name = node.this if isinstance(node.this, str) else getattr(node.this, "name", "")
        if str(name).lower() in counts:
            counts[str(name).lower()] -= 1
    return [name for name, count in counts.items() if count > 0]


def _answer(
    relation: Relation,
    reads: set[str],
    names: list[str] | None,
    dialect: Dialect,
    by_name: bool,
) -> StatementLineage:
    rows = None if relation.rows is None else _sources(relation.rows)
    reason = relation.rows_reason
    if names is None:
        found = [_column(i.label, i.value) for i in relation.items if isinstance(i, Item)]
        complete = relation.closed
    else:
        found = [_column(*one) for one in _as_stored(relation, names, dialect, by_name)]
        complete = True
    return StatementLineage(
        columns=tuple(found),
        complete=complete,
        rows=rows,
        rows_reason=reason,
        reads=tuple(sorted(reads)),
    )


def _as_stored(
    relation: Relation, names: list[str], dialect: Dialect, by_name: bool
) -> Iterator[tuple[str, Value]]:
    """The columns of the relation that was made, with what the query says of each."""
    if by_name:
        for name in names:
            yield name, _by_name(relation, name, dialect)
        return
    places = [n for n, item in enumerate(relation.items) if isinstance(item, Rest)]
    before, after = relation.items, []
    if places:
        before, after = relation.items[: places[0]], relation.items[places[-1] + 1 :]
    between = names[len(before) : len(names) - len(after)]
    listed = [*names[: len(before)], *names[len(names) - len(after) :]]
    items = [item for item in (*before, *after) if isinstance(item, Item)]
    fits = len(listed) == len(items) and (bool(places) or not between)
    if not fits or any(
        item.key is not None and item.key != dialect.stored(name)
        for item, name in zip(items, listed, strict=True)
    ):
        raise Unsure("the query gives other columns than the relation has")
    told = dict(zip(listed, (item.value for item in items), strict=True))
    rest = relation.items[places[0]] if len(places) == 1 else None
    for name in names:
        yield name, told[name] if name in told else _of_rest(rest, name, names, dialect)


def _of_rest(rest: Item | Rest | None, name: str, names: list[str], dialect: Dialect) -> Value:
    """A column that a star over unknown columns gave."""
    if not isinstance(rest, Rest):
        return unknown("which star it comes from is not known")
    base, number = re.match(r"(.*?)(?:[_:](\d+))?$", name, re.DOTALL).groups()  # type: ignore[union-attr]
    if number is not None and any(dialect.stored(n) == dialect.stored(base) for n in names):
        return unknown("it may be the second of two columns of one name")
    return _by_name(Relation(items=[rest]), name, dialect)


def _by_name(relation: Relation, name: str, dialect: Dialect) -> Value:
    key = dialect.stored(name)
    try:
        value = relation.find(key)
        if value is None and relation.named():
            raise Unsure("the query has no such column")
        return value if value is not None else relation.assume(key, name, PSEUDO_COLUMNS)
    except Unsure as reason:
        return unknown(str(reason))


def _column(name: str, value: Value) -> ColumnLineage:
    if not value.known:
        return ColumnLineage(column=name, kind=LineageKind.UNKNOWN, reason=value.reason)
    return ColumnLineage(
        column=name,
        kind=value.kind,
        inputs=_sources(value.inputs),
        indirect=_sources(value.indirect),
    )


def _sources(origins: frozenset[Origin]) -> tuple[SourceColumn, ...]:
    return tuple(SourceColumn(relation=r, column=c) for r, c in sorted(origins))


def nothing(reason: str, names: Iterable[str] | None) -> StatementLineage:
    """Every column of ``names`` is unknown, because of ``reason``."""
    return StatementLineage(
        columns=tuple(
            ColumnLineage(column=name, kind=LineageKind.UNKNOWN, reason=reason)
            for name in names or ()
        ),
        complete=names is not None,
        rows=None,
        rows_reason=reason,
        reason=reason,
    )


_TICK_SECONDS = 0.02
_STOPPED_IN = ("sqlglot", __name__.rpartition(".")[0])


class _TooSlow(BaseException):
    """Not an Exception: nothing on the way may swallow it."""


@contextlib.contextmanager
def _time_limit(seconds: float) -> Iterator[None]:
    """Ends what takes longer, where this thread gets the signals; elsewhere the bounds on size and
    depth hold alone."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    is_over = False

    def stop(_: int, frame: FrameType | None) -> None:
        # What the collector or a weak reference calls may not raise: Python would drop it. The next
        # tick is elsewhere.
        running = str(frame.f_globals.get("__name__", "")) if frame is not None else ""
        if not is_over and running.startswith(_STOPPED_IN):
            raise _TooSlow

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds, _TICK_SECONDS)
    try:
        yield
    finally:
        is_over = True
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
