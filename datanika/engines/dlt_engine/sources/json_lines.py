"""JSON lines through DuckDB: types from every row, found once.

DuckDB's own guesses are taken for numbers, booleans and ISO dates only. Others of its date formats
read 05-01-2024 as it suits the rows, and a time's zone is dropped; so texts are judged here. What
is nested stays the text that it is: a struct of all rows would add keys and rewrite times.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from datanika.engines.dlt_engine.shape.json_numbers import MAX_LINE
from datanika.engines.dlt_engine.sources.csv_types import missed, propose_csv_types
from datanika.engines.warehouse.base import literal, quoted

ISO = "dateformat='iso', timestampformat='iso'"
_NESTED = ("STRUCT", "MAP", "UNION", "JSON")
_TEXTS = ("VARCHAR", "DATE", "TIME", "TIMESTAMP", "UUID")
_TIMES = ("DATE", "TIMESTAMP", "TIMESTAMP WITH TIME ZONE")


def is_nested(kind: str) -> bool:
    """Whether values of DuckDB's type ``kind`` are objects or lists."""
    return kind.startswith(_NESTED) or kind.endswith("]")


def read_json_lines(
    database: Any, paths: Sequence[Path], is_text: Callable[[str], bool]
) -> tuple[str, dict[str, str]]:
    """(what to select from, column -> type that it is to be cast to).

    ``is_text``: whether the destination holds a column as text, which then is not interpreted.
    """
    files = "[" + ", ".join(literal(str(path)) for path in paths) + "]"
    common = f"{files}, format='newline_delimited', {ISO}, maximum_object_size={MAX_LINE}"
    described = database.execute(
        f"DESCRIBE FROM read_json({common}, union_by_name=true, sample_size=-1, "
        "convert_strings_to_integers=false)"
    ).fetchall()
    types = {str(row[0]): _kind(str(row[1])) for row in described}
    types |= {
        name: "VARCHAR" for name, kind in types.items() if kind.startswith(_TEXTS) and is_text(name)
    }
    columns = ", ".join(f"{literal(name)}: {literal(kind)}" for name, kind in types.items())
    source = f"read_json({common}, columns={{{columns}}})"
    texts = [name for name, kind in types.items() if kind == "VARCHAR" and not is_text(name)]
    return source, types | _times(database, source, texts)


def _kind(kind: str) -> str:
    if is_nested(kind):
        return "JSON"
    return "VARCHAR" if kind in ("TIME", "UUID") else kind


def _times(database: Any, source: str, texts: Sequence[str]) -> dict[str, str]:
    """The columns of texts that are all dates, or times with or without a zone."""
    if not texts:
        return {}
    only = f"(SELECT {', '.join(map(quoted, texts))} FROM {source})"
    proposed = {
        name: kind
        for name, kind in propose_csv_types(database, only, texts, set()).items()
        if kind in _TIMES
    }
    if not proposed:
        return {}
    bad, _, _ = missed(database, only, proposed)
    return {name: kind for name, kind in proposed.items() if name not in bad}
