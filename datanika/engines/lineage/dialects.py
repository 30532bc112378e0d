"""How dialects compare names, where they see aliases, and how they order the columns of joins."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Literal

import sqlglot
from sqlglot import exp

from datanika.engines.lineage.functions import DUCKDB, POSTGRES, words

PSEUDO_COLUMNS = words(
    """
    ctid xmin xmax cmin cmax tableoid oid rowid rownum rowscn user session_user current_user
    current_role current_catalog current_schema system_user sysdate systimestamp current_date
    current_time current_timestamp localtime localtimestamp level value _partitiontime
    _partitiondate _table_suffix _file_name filename file_row_number metadata$filename _part
    _partition_id _metadata _version
    """
)
"""Names that may stand for something else where a table's columns are not known."""


@dataclass(frozen=True)
class Dialect:
    """``sqlglot``: its name there.

    ``folds``: what becomes of unquoted names (quoted ones too with ``any_case``).
    ``aliases``: whether WHERE and the select list see aliases of the select list.
    ``functions``: the built-in ones; None: only those that sqlglot knows.
    ``strict``: a name that two relations have is an error there, so that a query which runs has
    none.
    """

    sqlglot: str
    folds: Literal["lower", "upper", "none"] = "lower"
    any_case: bool = False
    aliases: bool = False
    strict: bool = True
    whole_rows: bool = False
    structs: bool = False
    laterals: bool = False
    plain_recursion: bool = False
    merged_in_place: bool = False
    functions: frozenset[str] | None = None
    values_names: str | None = None
    select_sets: frozenset[str] | None = field(default=None)

    def key(self, name: str, quoted: bool) -> str:
        """A name of SQL as it is compared."""
        if self.any_case:
            return name.lower()
        if quoted or self.folds == "none":
            return name
        return name.lower() if self.folds == "lower" else name.upper()

    def key_of(self, identifier: exp.Expr) -> str:
        return self.key(identifier.name, bool(identifier.args.get("quoted")))

    def stored(self, name: str) -> str:
        """A name of the catalog as it is compared."""
        return name.lower() if self.any_case else name


DIALECTS = {
    "postgres": Dialect(
        "postgres", whole_rows=True, functions=POSTGRES, values_names="column{one}"
    ),
    "duckdb": Dialect(
        "duckdb",
        any_case=True,
        aliases=True,
        whole_rows=True,
        structs=True,
        laterals=True,
        merged_in_place=True,
        functions=DUCKDB,
        values_names="col{zero}",
        select_sets=frozenset({"unnest", "generate_subscripts"}),
    ),
    "redshift": Dialect("redshift", any_case=True, aliases=True),
    "snowflake": Dialect("snowflake", folds="upper", aliases=True, plain_recursion=True),
    "bigquery": Dialect("bigquery", any_case=True, structs=True),
    "databricks": Dialect("databricks", any_case=True, aliases=True, structs=True),
    "clickhouse": Dialect("clickhouse", folds="none", aliases=True, strict=False, structs=True),
    "mssql": Dialect("tsql", any_case=True, plain_recursion=True),
}
"""By kind of connection."""


def unknown_calls(
    sql_tokens: list[tuple[str, str]], dialect: Dialect, words: frozenset[str]
) -> Counter[str]:
    """Calls that the parser takes for functions it knows, of which the engine has none.

    Other databases have them, so a tenant may have written one of that name.
    ``sql_tokens``: (kind, text) of each token.
    """
    if dialect.functions is None:
        return Counter()
    parser = sqlglot.Dialect.get_or_raise(dialect.sqlglot).parser_class
    known = {name.lower() for name in dialect.functions} | words
    found: Counter[str] = Counter()
    for (_, text), (kind, _) in zip(sql_tokens, sql_tokens[1:], strict=False):
        if kind != "L_PAREN" or text.lower() in known:
            continue
        if text.upper() in parser.FUNCTIONS or text.upper() in parser.FUNCTION_PARSERS:
            found[text.lower()] += 1
    return found
