"""What is hidden never arrives: not in the table, not in staging, not in a log or an error."""

from __future__ import annotations

import hashlib
import hmac
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datanika.contracts.shape import Mask
from datanika.contracts.spec import TableSpec
from datanika.contracts.steps import ResolvedLoad
from datanika.engines.dlt_engine.shape.privacy import Privacy
from tests.support.postgres import Warehouse
from tests.test_engines.steps import Outcome, duckdb, files, load, postgres, run
from tests.test_engines.targets import Target

KEY = "c0ffee" * 10
SECRETS = ("ann@example.com", "4111111111111111", "Überraschung")


def digest(text: str) -> str:
    return hmac.new(bytes.fromhex(KEY), text.encode(), hashlib.sha256).hexdigest()


def hide(name: str, **more: Any) -> TableSpec:
    return TableSpec(
        name=name,
        target="t",
        hash=("mail", "code"),
        mask=(
            Mask(column="card", how="keep_last", keep=4),
            Mask(column="name"),
            Mask(column="note", how="null"),
            Mask(column="pin", how="keep_last", keep=4, text="#"),
        ),
        **more,
    )


ROW = {
    "id": 1, "mail": SECRETS[0], "code": 7, "card": SECRETS[1], "name": SECRETS[2],
    "note": SECRETS[2], "pin": "1234",
}  # fmt: skip
EMPTY: dict[str, Any] = dict.fromkeys(ROW)
EXPECTED = [(digest(SECRETS[0]), digest("7"), "***1111", "***", None, "#")]


def with_key(step: ResolvedLoad) -> ResolvedLoad:
    return step.model_copy(update={"hash_key": KEY})


def check(out: Outcome, target: Target) -> None:
    assert out.finished.failure is None
    columns = "mail, code, card, name, note, pin"
    assert target.query(f"SELECT {columns} FROM raw.t WHERE id = 1") == EXPECTED
    assert target.query(f"SELECT {columns} FROM raw.t WHERE id = 2") == [(None,) * 6]
    told = " ".join(event.model_dump_json() for event in out.events)
    assert not any(secret in told for secret in SECRETS)


def test_files_hide_their_columns(target: Target, tmp_path: Path) -> None:
    rows = [ROW, {**EMPTY, "id": 2}]
    source = files(tmp_path, "jsonl")
    path = tmp_path / "files" / "t.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows))
    check(run(with_key(load(source, target.connection, hide("t.jsonl")))), target)


def test_a_csv_is_hidden_as_it_is_written_and_not_as_it_is_typed(
    target: Target, tmp_path: Path
) -> None:
    source = files(tmp_path, "csv")
    lines = [",".join(ROW), ",".join(str(value) for value in ROW.values()), "2,,,,,,"]
    (tmp_path / "files" / "t.csv").write_text("\n".join(lines))
    check(run(with_key(load(source, target.connection, hide("t.csv")))), target)
    assert target.query("SELECT code FROM raw.t WHERE id = 1") == [(digest("7"),)]


def test_a_postgres_source_sends_no_hidden_value(warehouse: Warehouse, tmp_path: Path) -> None:
    warehouse.query("CREATE SCHEMA shop")
    warehouse.query(
        "CREATE TABLE shop.t (id int, mail text, code int, card varchar(30), name text, "
        "note text, pin char(4))"
    )
    values = ", ".join(f"'{value}'" for value in ROW.values())
    warehouse.query(f"INSERT INTO shop.t VALUES ({values})")
    warehouse.query("INSERT INTO shop.t VALUES (2)")
    from tests.test_engines.targets import ask_duckdb

    table = hide("t")
    source, ducks = postgres(warehouse.config), duckdb(tmp_path)
    out = run(with_key(load(source, ducks, table, source_schema="shop")))
    check(out, Target(ducks, ask_duckdb(tmp_path)))
    # The reader itself must not see them.
    from datanika.engines.dlt_engine.sources.postgres import open_postgres
    from datanika.engines.warehouse import WriterId

    opened = open_postgres(source, table, "shop", WriterId(1, 1), Privacy(table, KEY))
    read = [row for batch in opened.read(None) for row in batch.to_pylist()]
    assert not any(secret in str(read) for secret in SECRETS)


def test_nothing_is_left_in_staging(warehouse: Warehouse, tmp_path: Path) -> None:
    source = files(tmp_path, "jsonl")
    (tmp_path / "files" / "t.jsonl").write_text(json.dumps(ROW))
    assert run(with_key(load(source, postgres(warehouse.config), hide("t.jsonl")))).code is None
    schemas = warehouse.query(
        "SELECT table_schema, table_name FROM information_schema.tables "
        "WHERE table_schema IN ('raw', 'datanika_staging_raw')"
    )
    for schema, name in schemas:
        held = str(warehouse.query(f'SELECT * FROM "{schema}"."{name}"'))
        assert not any(secret in held for secret in (*SECRETS, KEY))


@given(
    st.one_of(
        st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
        st.integers(-(2**63), 2**63 - 1),
        st.booleans(),
    )
)
def test_duckdb_hashes_as_python_does(value: str | int | bool) -> None:
    import duckdb as ducks

    from datanika.engines.dlt_engine.shape.sql import DUCKDB, hidden

    privacy = Privacy(TableSpec(name="t", hash=("x",)), KEY)
    sql = hidden("x", "x", privacy, DUCKDB)
    with ducks.connect(":memory:") as database:
        found = database.execute(f"SELECT {sql} FROM (SELECT ? AS x)", [value]).fetchall()
    assert found == [(privacy.cover("x", value),)]


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12))
def test_masks_are_the_same_in_sql(value: str) -> None:
    import duckdb as ducks

    from datanika.engines.dlt_engine.shape.sql import DUCKDB, hidden

    masks = (
        Mask(column="a", how="keep_last", keep=3),
        Mask(column="b", text="'; DROP"),
        Mask(column="c", how="null"),
    )
    privacy = Privacy(TableSpec(name="t", mask=masks), "")
    columns = [hidden(name, name, privacy, DUCKDB) for name in "abc"]
    with ducks.connect(":memory:") as database:
        query = f"SELECT {', '.join(map(str, columns))} FROM (SELECT ? AS a, ? AS b, ? AS c)"
        (found,) = database.execute(query, [value] * 3).fetchall()
    assert found == tuple(privacy.cover(name, value) for name in "abc")
    if value:
        assert len(value) <= 3 or value[:-3] not in str(found[0])[3:-3]


def test_arrow_hides_what_no_source_has_hidden() -> None:
    privacy = Privacy(hide("t"), KEY)
    batch = privacy.arrow(pa.Table.from_pylist([ROW, {**EMPTY, "id": 2}]))
    assert batch.schema.names == list(ROW)
    first, second = batch.to_pylist()
    assert tuple(first[name] for name in list(ROW)[1:]) == EXPECTED[0]
    assert second == {**EMPTY, "id": 2}


def test_a_hidden_column_that_is_not_there_is_named(tmp_path: Path) -> None:
    source = files(tmp_path)
    pq.write_table(pa.table({"id": [1]}), tmp_path / "files" / "t.parquet")
    out = run(with_key(load(source, duckdb(tmp_path), hide("t.parquet"))))
    assert out.code == "column_missing"


@pytest.mark.parametrize("line", ["3,{0},{0},{0},{0},{0},{0},{0},too,many", '3,"{0}" x,1'])
def test_an_unreadable_line_is_not_quoted(tmp_path: Path, line: str) -> None:
    source = files(tmp_path, "csv")
    lines = [",".join(ROW), line.format(SECRETS[0])]
    (tmp_path / "files" / "t.csv").write_text("\n".join(lines))
    out = run(with_key(load(source, duckdb(tmp_path), hide("t.csv"))))
    assert out.finished.failure is not None
    assert SECRETS[0] not in " ".join(event.model_dump_json() for event in out.events)
    assert SECRETS[0] not in str(out.finished)


def test_without_a_key_nothing_is_loaded(tmp_path: Path) -> None:
    source = files(tmp_path, "jsonl")
    (tmp_path / "files" / "t.jsonl").write_text(json.dumps(ROW))
    assert run(load(source, duckdb(tmp_path), hide("t.jsonl"))).code == "hash_key_missing"


def test_the_key_is_a_secret_of_the_step(tmp_path: Path) -> None:
    from datanika.execution.engine_child import secrets_of

    step = with_key(load(files(tmp_path), duckdb(tmp_path), hide("t")))
    privacy = Privacy(hide("t"), KEY)
    assert {KEY, *privacy.pads} <= set(secrets_of(step))
    assert KEY not in repr(step)


@pytest.mark.parametrize("value", ["1", "12", "123"])
def test_a_value_that_is_not_longer_than_what_is_kept_is_hidden_whole(value: str) -> None:
    privacy = Privacy(TableSpec(name="t", mask=(Mask(column="x", how="keep_last", keep=3),)), "")
    assert privacy.cover("x", value) == "***"
