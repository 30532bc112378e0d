"""Values that loaders are known to spoil."""

from __future__ import annotations

from tests.support.postgres import Warehouse

REFUSED = "refused"
NOTHING = "no character"
"""DuckDB's text of an empty blob."""
# name -> (SQL of the value, what arrow and DuckDB make of it, if it is not the source's text)
VALUES: dict[str, tuple[str, str, str]] = {
    "unbounded numeric": ("0.12345678901234567890::numeric", "", ""),
    "60 digits": ("repeat('9', 60)::numeric(60,0)", "", ""),
    "numeric with a scale": ("12345.6700::numeric(12,4)", "", ""),
    "NaN numeric": ("'NaN'::numeric(10,2)", REFUSED, REFUSED),
    "NaN unbounded numeric": ("'NaN'::numeric", "", ""),
    "infinite numeric": ("'Infinity'::numeric", "", ""),
    "NaN double": ("'NaN'::float8", "", "nan"),
    "infinite double": ("'-Infinity'::float8", "", ""),
    "real": ("0.1::float4", "", ""),
    "2**62": ("4611686018427387904::int8", "", ""),
    "2**70": ("1180591620717411303424::numeric", "", ""),
    "smallint": ("(-32768)::int2", "", ""),
    "infinite timestamp": ("'infinity'::timestamp", REFUSED, ""),
    "infinite timestamptz": ("'-infinity'::timestamptz", REFUSED, ""),
    "infinite date": ("'infinity'::date", REFUSED, ""),
    "BC date": ("'0044-03-15 BC'::date", REFUSED, "0044-03-15 (BC)"),
    "far date": ("'20000-01-01'::date", REFUSED, ""),
    "first date": ("'0001-01-01'::date", "", ""),
    "timestamptz": ("'2024-02-29 10:00:00.123456+02'::timestamptz", "", ""),
    "timestamp": ("'2024-02-29 10:00:00.123456'::timestamp", "", ""),
    "time": ("'13:30:00.5'::time", "", ""),
    "time 24:00": ("'24:00'::time", REFUSED, "24:00:00"),
    "timetz": ("'13:30+02'::timetz", "", ""),
    "interval": ("'1 mon 2 days 03:00'::interval", "", ""),
    "json null": ("'null'::json", "", ""),
    "json with an order": ('\'{"b": 1, "a": 2, "b": 3}\'::json', "", ""),
    "jsonb": ("'{\"n\": 123456789012345678901234567890}'::jsonb", "", ""),
    "array": ("ARRAY[1, NULL, 3]", "[1,null,3]", "[1,null,3]"),
    "array of texts": ("ARRAY['a,b', '\"', '']", '["a,b","\\"",""]', '["a,b","\\"",""]'),
    "empty bytea": ("''::bytea", "", NOTHING),
    "bytea": ("'\\x00ff5c27'::bytea", "", "\\x00\\xFF\\x5C\\x27"),
    "uuid": ("'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid", "", ""),
    "char": ("'ab'::char(5)", "", ""),
    "oid": ("4294967295::oid", "", ""),
    "bits": ("B'00000101'::bit(8)", "", ""),
    "range": ("int4range(1, 5)", "", ""),
    "inet": ("'::1'::inet", "", ""),
    "money": ("'12.50'::numeric::money", "", ""),
    "enum": ("'ok'::mood", "", ""),
    "domain": ("5.25::positive", "", ""),
    "empty text": ("''::text", "", ""),
    "spaces": ("'  '::text", "", ""),
    "newlines": ("E'a\\r\\n\\nb\\t\\\\.'::text", "", ""),
    "end of data": ("E'\\n\\\\.\\n'::text", "", ""),
    "quotes": ("'\"\"''\\N,;'::text", "", ""),
    "unicode": ("U&'\\+01F600\\FFFF'::text", "", ""),
    "boolean": ("false", "", ""),
}


def make_types(source: Warehouse) -> None:
    """The types of :data:`VALUES` that are of no server by itself."""
    source.query("CREATE TYPE mood AS ENUM ('sad', 'ok')")
    source.query("CREATE DOMAIN positive AS numeric(10,2) CHECK (value > 0)")
