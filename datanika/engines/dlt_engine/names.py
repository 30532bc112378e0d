"""Column and table names after dlt's normalising: no two may meet, none may be dlt's own."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from datanika.errors import TerminalStepError

Normalize = Callable[[str], str]


def check_columns(names: Iterable[str], normalize: Normalize, table: str) -> dict[str, str]:
    """Source name -> destination name.

    dlt would keep one value of columns that collide. Raises :class:`TerminalStepError`
    ``columns_collide`` or ``column_reserved`` that names them.
    """
    result: dict[str, str] = {}
    taken: dict[str, str] = {}
    for name in names:
        target = normalize(name)
        if target.startswith("_dlt_"):
            raise TerminalStepError(
                f"{table!r} has a column {name!r}; names that start with _dlt_ are reserved.",
                code="column_reserved",
                hint="Rename it in the source, or choose the other columns.",
            )
        if target in taken:
            raise TerminalStepError(
                f"The columns {taken[target]!r} and {name!r} of {table!r} would both become "
                f"{target!r}.",
                code="columns_collide",
                hint="Rename one of them in the source, or choose only one.",
            )
        taken[target] = name
        result[name] = target
    return result


def check_table(target: str, normalize: Normalize) -> None:
    """The destination table must be called what the plan says, for models to find it."""
    if normalize(target) != target or target.startswith("_dlt_"):
        raise TerminalStepError(
            f"A table cannot be called {target!r} (it would become {normalize(target)!r}).",
            code="target_name_unusable",
            hint="Use lower-case letters, digits and single underscores.",
        )
