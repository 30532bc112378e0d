"""Values of the log whose text is not what the destination wants, made over by their own server."""

from __future__ import annotations

from datanika.engines.dlt_engine.cdc.apply import Convert
from datanika.engines.dlt_engine.direct.session import Session
from datanika.engines.warehouse.base import quoted

_AT_ONCE = 5_000


def by_server(session: Session, column: str, kind: str, expression: str) -> Convert:
    """``expression``, of ``column``, is what a reading of the table would select of it; the server
    makes it of the value's text, so that both give the same."""
    sql = (
        f"SELECT CAST({expression} AS text) FROM (SELECT n, CAST(v AS {kind}) AS {quoted(column)} "
        "FROM unnest(%s::text[]) WITH ORDINALITY AS given (v, n)) AS typed ORDER BY n"
    )

    def convert(values: list[bytes]) -> list[bytes]:
        made: dict[bytes, bytes] = {}
        distinct = list(dict.fromkeys(values))
        for start in range(0, len(distinct), _AT_ONCE):
            part = distinct[start : start + _AT_ONCE]
            rows = session.run(
                sql.replace("%s", "\0").replace("%", "%%").replace("\0", "%s"),
                [[one.decode() for one in part]],
            )
            made.update(zip(part, (str(text).encode() for (text,) in rows), strict=True))
        return [made[value] for value in values]

    return convert
