"""Rows that their source marks as deleted, in a merge.

Of rows with one key the one with the highest cursor value counts, where the table has a cursor.
Where the remaining ones disagree the row is deleted.
"""

from __future__ import annotations

from collections.abc import Sequence

from datanika.engines.dlt_engine.move import Statements
from datanika.engines.warehouse.base import Table, qualified, quoted

FALSE_TEXTS = ("", "0", "f", "false", "n", "no", "off")


def truth(column: str, data_type: str) -> str:
    """SQL of whether ``column`` (SQL), of the destination's ``data_type``, marks a deleted row.

    NULL never does; of a time any value does.
    """
    kind = data_type.lower()
    if kind == "boolean":
        return f"coalesce({column}, false)"
    if kind.startswith(("text", "varchar", "character")):
        texts = ", ".join(f"'{text}'" for text in FALSE_TEXTS)
        return f"(coalesce(lower(trim({column})), '') NOT IN ({texts}))"
    numbers = ("smallint", "integer", "bigint", "numeric", "decimal", "double", "real", "hugeint")
    if kind.startswith(numbers):
        return f"(coalesce({column}, 0) <> 0)"
    return f"({column} IS NOT NULL)"


def delete_marked(
    target: Table, keys: Sequence[str], column: str, data_type: str, cursor: str | None
) -> Statements:
    """Before staged rows are merged into ``target``: delete what they mark, and them.

    Names are the destination's.
    """

    def statements(staging: str) -> list[str]:
        def same(one: str, other: str) -> str:
            return " AND ".join(f"{one}.{quoted(key)} = {other}.{quoted(key)}" for key in keys)

        marked = truth(f"marked.{quoted(column)}", data_type)
        exists = f"EXISTS (SELECT 1 FROM {staging} AS marked WHERE {{}} AND {marked})"
        found = []
        if cursor is not None:
            name = quoted(cursor)
            found.append(
                f"DELETE FROM {staging} AS old WHERE EXISTS (SELECT 1 FROM {staging} AS newer "
                f"WHERE {same('newer', 'old')} AND newer.{name} > old.{name})"
            )
        found.append(
            f"DELETE FROM {qualified(target)} AS gone WHERE {exists.format(same('marked', 'gone'))}"
        )
        found.append(
            f"DELETE FROM {staging} AS staged WHERE {exists.format(same('marked', 'staged'))}"
        )
        return found

    return statements
