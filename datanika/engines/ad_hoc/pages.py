"""One page of what a connection has."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from datanika.contracts.ad_hoc import IntrospectAction, IntrospectionResult, TableInfo


def page_of(
    action: IntrospectAction, schemas: Sequence[str], tables: tuple[TableInfo, ...], found: int
) -> IntrospectionResult:
    """``found``: how many there were from the offset on, one beyond the limit at most."""
    more = found > action.limit
    return IntrospectionResult(
        schemas=tuple(schemas),
        tables=tables,
        next_offset=action.offset + action.limit if more else None,
    )


def page_of_names(
    action: IntrospectAction,
    names: Iterable[str],
    describe: Callable[[str], TableInfo],
    schemas: Sequence[str] = (),
) -> IntrospectionResult:
    """The page of ``names`` that is asked for; only its tables are described."""
    wanted = [name for name in names if is_wanted(action, name)]
    found = wanted[action.offset : action.offset + action.limit + 1]
    tables = tuple(describe(name) for name in found[: action.limit])
    return page_of(action, schemas, tables, len(found))


def is_wanted(action: IntrospectAction, name: str) -> bool:
    """Whether ``name`` has what is searched for."""
    return action.search is None or action.search.lower() in name.lower()
