"""Loading files: every value, every disposition, nothing twice."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from datanika.contracts.shape import OnBadRow
from datanika.contracts.spec import IncrementalCursor
from tests.test_engines.steps import APPEND, MERGE, REPLACE, files, load, run, table
from tests.test_engines.targets import Target

UTC = dt.UTC


def write_parquet(root: Path, file: str, /, **columns: list[object] | pa.Array) -> None:
    path = root / "files" / file
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path)


def write_text(root: Path, name: str, text: str) -> None:
    path = root / "files" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def test_replace_gives_exactly_the_source(target: Target, tmp_path: Path) -> None:
    step = load(files(tmp_path), target.connection, table("t.parquet", "t"))
    write_parquet(tmp_path, "t.parquet", id=[1, 2, 3])
    first = run(step)
    write_parquet(tmp_path, "t.parquet", id=[4, 5])
    second = run(step)
    assert (first.finished.state, second.finished.state) == ("succeeded", "succeeded")
    assert target.query("SELECT id FROM raw.t ORDER BY id") == [(4,), (5,)]
    details = second.nodes["t"].details
    assert (details["verdict"], details["loaded_rows"]) == ("exact", 2)
    assert details["destination_rows_before"] == 3


def test_replace_from_an_emptied_source_empties_the_table(target: Target, tmp_path: Path) -> None:
    step = load(files(tmp_path), target.connection, table("t.parquet", "t"))
    write_parquet(tmp_path, "t.parquet", id=[1, 2])
    run(step)
    write_parquet(tmp_path, "t.parquet", id=pa.array([], pa.int64()))
    assert run(step).finished.failure is None
    assert target.count("raw.t") == 0


@pytest.mark.parametrize("how", [APPEND, MERGE, REPLACE])
def test_an_empty_table_is_created(target: Target, tmp_path: Path, how: str) -> None:
    write_parquet(
        tmp_path, "t.parquet", id=pa.array([], pa.int64()), name=pa.array([], pa.string())
    )
    spec = table("t.parquet", "t", how, ("id",) if how == MERGE else ())
    out = run(load(files(tmp_path), target.connection, spec))
    assert out.finished.failure is None
    assert target.count("raw.t") == 0
    assert [column.name for column in out.nodes["t"].columns][:2] == ["id", "name"]


def test_incremental_append_loads_nothing_twice(target: Target, tmp_path: Path) -> None:
    spec = table("t.parquet", "t", APPEND, cursor="at")
    step = load(files(tmp_path), target.connection, spec)
    nine, ten = dt.datetime(2024, 1, 1, 9, tzinfo=UTC), dt.datetime(2024, 1, 1, 10, tzinfo=UTC)
    write_parquet(tmp_path, "t.parquet", id=[1, 2, 2], at=[nine, ten, ten])
    assert run(step).finished.rows == 3
    assert run(step).finished.rows == 0
    # Late rows of the hour that was the highest, one of them equal to a row that is there twice.
    write_parquet(tmp_path, "t.parquet", id=[1, 2, 2, 2, 3], at=[nine, ten, ten, ten, ten])
    assert run(step).finished.rows == 2
    assert run(step).finished.rows == 0
    assert target.query("SELECT id FROM raw.t ORDER BY id") == [(1,), (2,), (2,), (2,), (3,)]


def test_append_without_a_cursor_appends(target: Target, tmp_path: Path) -> None:
    write_parquet(tmp_path, "t.parquet", id=[1, 2])
    step = load(files(tmp_path), target.connection, table("t.parquet", "t", APPEND))
    run(step)
    assert run(step).finished.failure is None
    assert target.count("raw.t") == 4


def test_merge_replaces_rows_with_the_same_key(target: Target, tmp_path: Path) -> None:
    step = load(
        files(tmp_path), target.connection, table("t.parquet", "t", MERGE, ("id",), cursor="day")
    )
    one, two = dt.date(2024, 1, 1), dt.date(2024, 1, 2)
    write_parquet(tmp_path, "t.parquet", id=[1, 2], name=["a", "b"], day=[one, two])
    run(step)
    # A changed row with the same cursor value must be seen.
    write_parquet(tmp_path, "t.parquet", id=[1, 2, 3], name=["x", "B", "c"], day=[one, two, two])
    out = run(step)
    assert target.query("SELECT id, name FROM raw.t ORDER BY id") == [(1, "a"), (2, "B"), (3, "c")]
    assert out.nodes["t"].details["verdict"] == "exact"


@pytest.mark.parametrize(
    ("values", "late", "too_late", "lag"),
    [
        ([10, 20], 15, 14, {"lag": 5}),
        ([dt.date(2024, 1, 1), dt.date(2024, 1, 9)], dt.date(2024, 1, 8), dt.date(2024, 1, 7),
         {"lag_seconds": 86_400}),
        ([dt.datetime(2024, 1, 1), dt.datetime(2024, 1, 9)], dt.datetime(2024, 1, 8, 23),
         dt.datetime(2024, 1, 8, 22), {"lag_seconds": 3600}),
        ([Decimal("1.5"), Decimal("2.5")], Decimal("1.6"), Decimal("1.4"), {"lag": 1}),
    ],
    ids=["int", "date", "timestamp", "decimal"],
)  # fmt: skip
def test_a_lag_reads_late_rows(
    target: Target, tmp_path: Path, values: list[object], late: object, too_late: object, lag: dict
) -> None:
    spec = table("t.parquet", "t", MERGE, ("id",)).model_copy(
        update={"cursor": IncrementalCursor(column="at", **lag)}
    )
    step = load(files(tmp_path), target.connection, spec)
    write_parquet(tmp_path, "t.parquet", id=[1, 2], at=values)
    run(step)
    write_parquet(tmp_path, "t.parquet", id=[1, 2, 3, 4], at=[*values, late, too_late])
    assert run(step).code is None
    assert target.query("SELECT id FROM raw.t ORDER BY id") == [(1,), (2,), (3,)]


def test_a_lag_of_seconds_behind_a_number_is_refused(tmp_path: Path) -> None:
    from tests.test_engines.steps import duckdb

    spec = table("t.parquet", "t", MERGE, ("id",)).model_copy(
        update={"cursor": IncrementalCursor(column="at", lag_seconds=5)}
    )
    write_parquet(tmp_path, "t.parquet", id=[1], at=[1.5])
    run(load(files(tmp_path), duckdb(tmp_path), spec))
    assert run(load(files(tmp_path), duckdb(tmp_path), spec)).code == "cursor_type"


def test_no_more_rows_at_a_time_than_are_asked_for(tmp_path: Path) -> None:
    from datanika.engines.connectors.base import Reading
    from datanika.engines.dlt_engine.shape.privacy import Privacy
    from datanika.engines.dlt_engine.shape.source import shaped
    from datanika.engines.dlt_engine.sources.files import open_files
    from datanika.engines.warehouse import WriterId

    spec = table("t.parquet", "t").model_copy(update={"batch_rows": 3})
    write_parquet(tmp_path, "t.parquet", id=list(range(10)))
    privacy = Privacy(spec, "")
    reading = Reading(
        connection=files(tmp_path),
        table=spec,
        folder=tmp_path,
        writer=WriterId(1, 1),
        privacy=privacy,
        normalize=str,
    )
    opened = open_files(reading)
    sizes = [batch.num_rows for batch in shaped(opened, spec, privacy).read(None)]
    assert sum(sizes) == 10
    assert max(sizes) <= 3


def test_a_dropped_table_is_loaded_anew(target: Target, tmp_path: Path) -> None:
    write_parquet(tmp_path, "t.parquet", id=[1, 2])
    step = load(files(tmp_path), target.connection, table("t.parquet", "t", APPEND, cursor="id"))
    run(step)
    target.query("DROP TABLE raw.t")
    assert run(step).finished.failure is None
    assert target.count("raw.t") == 2


def test_added_columns_are_added_and_lost_ones_are_null(target: Target, tmp_path: Path) -> None:
    step = load(files(tmp_path), target.connection, table("t.parquet", "t", APPEND))
    write_parquet(tmp_path, "t.parquet", id=[1], old=["x"])
    run(step)
    write_parquet(tmp_path, "t.parquet", id=[2], new=[1.5])
    assert run(step).finished.failure is None
    assert target.query("SELECT id, old, new FROM raw.t ORDER BY id") == [
        (1, "x", None),
        (2, None, 1.5),
    ]


def test_a_changed_type_stops_before_the_target(target: Target, tmp_path: Path) -> None:
    step = load(files(tmp_path), target.connection, table("t.parquet", "t"))
    write_parquet(tmp_path, "t.parquet", id=[1], value=[10])
    run(step)
    write_parquet(tmp_path, "t.parquet", id=[1], value=["ten"])
    out = run(step)
    assert out.code == "type_changed"
    assert "'value'" in str(out.finished.failure)
    assert target.query("SELECT value FROM raw.t") == [(10,)]


def test_parquet_types_arrive_exactly(target: Target, tmp_path: Path) -> None:
    moment = dt.datetime(2024, 2, 29, 23, 59, 59, 123456, tzinfo=UTC)
    write_parquet(
        tmp_path,
        "t.parquet",
        small=pa.array([1], pa.int8()),
        unsigned=pa.array([2**64 - 1], pa.uint64()),
        single=pa.array([0.5], pa.float32()),
        amount=pa.array([Decimal("12345678901234567890.123456789")], pa.decimal128(38, 9)),
        day=[dt.date(1, 1, 1)],
        moment=pa.array([moment], pa.timestamp("us", "UTC")),
        local=pa.array([moment.replace(tzinfo=None)], pa.timestamp("ns")),
        text=[
            "",
        ],
        raw=[b"\x00\xff"],
        flag=[True],
        word=pa.array(["a"]).dictionary_encode(),
        nested=[{"a": [1, 2]}],
        nothing=pa.array([None], pa.int32()),
    )
    out = run(load(files(tmp_path), target.connection, table("t.parquet", "t")))
    assert out.finished.failure is None
    columns = (
        "small, unsigned, single, amount, day, moment, local, text, raw, flag, word, nothing,"
        " CAST(nested AS VARCHAR)"
    )
    row = target.query(f"SELECT {columns} FROM raw.t")[0]
    assert row[:4] == (1, 2**64 - 1, 0.5, Decimal("12345678901234567890.123456789"))
    assert row[4] == dt.date(1, 1, 1)
    assert row[5].astimezone(UTC) == moment
    assert row[6] == moment.replace(tzinfo=None)
    assert (row[7], bytes(row[8]), row[9], row[10], row[11]) == ("", b"\x00\xff", True, "a", None)
    assert row[12].replace(" ", "") == '{"a":[1,2]}'


def test_csv_types_come_from_all_values(target: Target, tmp_path: Path) -> None:
    write_text(
        tmp_path,
        "t.csv",
        "id,code,price,name,day,moment,flag,late,huge\n"
        '1,007,0.1,"",2024-01-31,2024-01-31T10:00:00Z,true,1,1e300\n'
        "2,012,1234567.05,,2024-02-01,2024-01-31 12:00:00+02:00,false,x,2.5\n",
    )
    out = run(load(files(tmp_path, "csv"), target.connection, table("t.csv", "t")))
    assert out.finished.failure is None
    rows = target.query(
        "SELECT id, code, price, name, day, moment, flag, late, huge FROM raw.t ORDER BY id"
    )
    ten = dt.datetime(2024, 1, 31, 10, tzinfo=UTC)
    first, second = rows
    assert first[:5] == (1, "007", Decimal("0.1"), "", dt.date(2024, 1, 31))
    assert second[:4] == (2, "012", Decimal("1234567.05"), None)
    assert first[5].astimezone(UTC) == second[5].astimezone(UTC) == ten
    assert (first[6], second[6]) == (True, False)
    assert (first[7], second[7]) == ("1", "x")
    assert (first[8], second[8]) == (1e300, 2.5)


def test_an_empty_field_does_not_change_a_csv_columns_type(tmp_path: Path) -> None:
    from tests.test_engines.steps import duckdb
    from tests.test_engines.targets import ask_duckdb

    write_text(tmp_path, "t.csv", "id,flag,day,n\n1,true,2024-01-31,7\n2,,,\n")
    assert run(load(files(tmp_path, "csv"), duckdb(tmp_path), table("t.csv", "t"))).code is None
    assert ask_duckdb(tmp_path)("SELECT flag, day, n FROM raw.t ORDER BY id") == [
        (True, dt.date(2024, 1, 31), 7),
        (None, None, None),
    ]


def test_csv_text_columns_stay_text_in_later_files(target: Target, tmp_path: Path) -> None:
    step = load(files(tmp_path, "csv"), target.connection, table("t.csv", "t", APPEND))
    write_text(tmp_path, "t.csv", "id,code\n1,A1\n")
    run(step)
    write_text(tmp_path, "t.csv", "id,code\n2,1.50\n")
    assert run(step).finished.failure is None
    assert target.query("SELECT code FROM raw.t ORDER BY id") == [("A1",), ("1.50",)]


def test_json_lines_and_globs(target: Target, tmp_path: Path) -> None:
    write_text(tmp_path, "events/a.jsonl", '{"id": 1, "tags": ["x"]}\n')
    write_text(tmp_path, "events/b.jsonl", '{"id": 2, "note": "hi"}\n')
    out = run(load(files(tmp_path, "jsonl"), target.connection, table("events/*.jsonl", "events")))
    assert out.finished.failure is None
    rows = target.query("SELECT id, CAST(tags AS VARCHAR) AS t, note FROM raw.events")
    assert sorted(rows) == [(1, '["x"]', None), (2, None, "hi")]


@pytest.mark.parametrize(
    "number",
    ["12345678901234567.89", "0.1000000000000000055", "1e-400", "1e400", "9007199254740993"],
)
@pytest.mark.parametrize("place", ["{}", '{{"deep": [{}]}}'])
def test_a_json_number_that_a_double_rounds_is_refused_or_put_aside(
    target: Target, tmp_path: Path, number: str, place: str
) -> None:
    good = ["0.1", "1.10", "1e22", "-0.0", "123456789012.345", "0.30000000000000004"]
    lines = [f'{{"id": {i}, "v": {place.format(n)}}}' for i, n in enumerate([*good, number])]
    write_text(tmp_path, "t.jsonl", "\n".join(lines))
    spec = table("t.jsonl", "t")
    out = run(load(files(tmp_path, "jsonl"), target.connection, spec))
    if place != "{}" and number.isdigit():
        # An integer inside of JSON stays the text that it is.
        assert (out.code, target.count("raw.t")) == (None, len(lines))
        return
    assert out.code == "number_inexact"
    kept = spec.model_copy(update={"on_bad_row": OnBadRow.QUARANTINE})
    out = run(load(files(tmp_path, "jsonl"), target.connection, kept))
    assert (out.code, out.nodes["t"].details["quarantined_rows"]) == (None, 1)
    assert target.count("raw.t") == len(good)


def test_texts_of_json_lines_become_times_only_where_they_say_which(
    target: Target, tmp_path: Path
) -> None:
    values = {
        "day": '"2024-01-05"', "local": '"2024-01-05T10:00:00"', "moment": '"2024-01-05T10:00:00Z"',
        "zoned": '"2024-01-05 10:00:00.5+02:00"', "guess": '"05-01-2024"', "clock": '"10:00"',
        "deep": '{"at": "2024-01-05T10:00:00", "n": 1.50}', "code": '"007"', "flag": '"true"',
        "blend": '"2024-01-05T10:00:00Z"',
    }  # fmt: skip
    first = ", ".join(f'"{name}": {value}' for name, value in values.items())
    write_text(tmp_path, "t.jsonl", f'{{{first}}}\n{{"blend": "no time", "deep": {{"x": []}}}}\n')
    step = load(files(tmp_path, "jsonl"), target.connection, table("t.jsonl", "t"))
    assert run(step).code is None
    [row] = target.query(f"SELECT {', '.join(values)} FROM raw.t WHERE day IS NOT NULL")
    day, local, moment, zoned, *rest, deep = [*row[:6], *row[7:], row[6]]
    assert (day, local) == (dt.date(2024, 1, 5), dt.datetime(2024, 1, 5, 10))
    assert (moment, zoned) == (
        dt.datetime(2024, 1, 5, 10, tzinfo=UTC),
        dt.datetime(2024, 1, 5, 8, 0, 0, 500000, tzinfo=UTC),
    )
    assert rest == ["05-01-2024", "10:00", "007", "true", "2024-01-05T10:00:00Z"]
    found = deep if isinstance(deep, dict) else json.loads(deep)
    assert found == {"at": "2024-01-05T10:00:00", "n": 1.5}
    # What was text stays text, though all of it is dates now.
    write_text(tmp_path, "t.jsonl", '{"blend": "2024-01-05T10:00:00Z", "guess": "2024-01-05"}\n')
    assert run(step).code is None
    assert target.query("SELECT blend, guess FROM raw.t") == [
        ("2024-01-05T10:00:00Z", "2024-01-05")
    ]


def test_long_integers_beside_fractions_stay_as_they_are(target: Target, tmp_path: Path) -> None:
    user = '{"id": 1234567890123456789, "score": 0.5, "tags": {"x": [9007199254740993]}}'
    mixed = '{"id": 1, "user": {"tags": "none", "score": 1}}\n{"id": 2, "user": {"tags": [0.5]}}'
    write_text(tmp_path, "t.jsonl", f'{{"id": {2**63 - 1}, "user": {user}}}\n{mixed}')
    out = run(load(files(tmp_path, "jsonl"), target.connection, table("t.jsonl", "t")))
    assert out.code is None
    rows = target.query('SELECT id, CAST("user" AS VARCHAR) FROM raw.t ORDER BY id DESC')
    number, found = rows[0]
    assert (number, json.loads(found)) == (2**63 - 1, json.loads(user))


def test_long_numbers_that_a_double_holds_are_loaded(target: Target, tmp_path: Path) -> None:
    exact = ["1180591620717411303424.0", "0.1000000000000000", "2251799813685249.5"]
    write_text(tmp_path, "t.jsonl", "\n".join(f'{{"v": {number}}}' for number in exact))
    out = run(load(files(tmp_path, "jsonl"), target.connection, table("t.jsonl", "t")))
    assert out.code is None
    assert sorted(v for (v,) in target.query("SELECT v FROM raw.t")) == sorted(map(float, exact))


@pytest.mark.parametrize(
    ("columns", "code"),
    [
        (["a b", "a_b"], "columns_collide"),
        (["A", "a"], "columns_collide"),
        (["id", "_dlt_load_id"], "column_reserved"),
    ],
)
def test_columns_that_cannot_be_stored_apart_are_refused(
    tmp_path: Path, columns: list[str], code: str
) -> None:
    from tests.test_engines.steps import duckdb
    from tests.test_engines.targets import ask_duckdb

    write_text(tmp_path, "t.csv", ",".join(columns) + "\n1,2\n")
    out = run(load(files(tmp_path, "csv"), duckdb(tmp_path), table("t.csv", "t")))
    assert out.code == code
    assert columns[1] in str(out.finished.failure)
    tables = ask_duckdb(tmp_path)(
        "SELECT table_name FROM information_schema.tables WHERE table_schema = 'raw'"
    )
    assert tables == []


def test_one_failed_table_does_not_stop_the_others(target: Target, tmp_path: Path) -> None:
    write_parquet(tmp_path, "t.parquet", id=[1])
    out = run(
        load(
            files(tmp_path),
            target.connection,
            table("missing.parquet", "a"),
            table("t.parquet", "t"),
        )
    )
    assert out.finished.state == "failed"
    assert out.code == "file_missing"
    assert out.nodes["t"].state == "succeeded"
    assert target.count("raw.t") == 1


@pytest.mark.parametrize(
    "name", ["../../secret.parquet", "/etc/passwd", "link.parquet", "a/../../x"]
)
def test_paths_out_of_the_upload_folder_are_refused(tmp_path: Path, name: str) -> None:
    from tests.test_engines.steps import duckdb

    root = tmp_path / "org"
    source = files(root)
    write_parquet(tmp_path, "../outside.parquet", id=[1])
    (root / "files" / "link.parquet").symlink_to(tmp_path / "outside.parquet")
    out = run(load(source, duckdb(root), table(name, "t")))
    assert out.code in ("path_outside", "file_missing")
    if name == "link.parquet":
        assert out.code == "path_outside"


def test_chosen_columns_only(target: Target, tmp_path: Path) -> None:
    write_parquet(tmp_path, "t.parquet", id=[1], name=["a"], extra=[2])
    spec = table("t.parquet", "t", columns=("name", "id"))
    out = run(load(files(tmp_path), target.connection, spec))
    assert [c.name for c in out.nodes["t"].columns if not c.name.startswith("_dlt")] == [
        "id",
        "name",
    ]


def test_a_cursor_that_is_not_there_is_named(target: Target, tmp_path: Path) -> None:
    write_parquet(tmp_path, "t.parquet", id=[1])
    spec = table("t.parquet", "t", APPEND, cursor="updated")
    out = run(load(files(tmp_path), target.connection, spec))
    assert out.code == "cursor_missing"
