"""Ad hoc actions in this process, on real databases, files and an API."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from datanika.contracts.ad_hoc import (
    MAX_CELL,
    MAX_RESULT,
    AdHocAction,
    AdHocResult,
    CompileAction,
    CompiledResult,
    FormatAction,
    FormatResult,
    IntrospectAction,
    IntrospectionResult,
    LintAction,
    LintResult,
    PreviewAction,
    QueryAction,
    RowsResult,
)
from datanika.contracts.spec import TransformStep
from datanika.contracts.steps import ResolvedConnection, ResolvedTransform
from datanika.engines.ad_hoc.perform import perform
from datanika.errors import StepError
from tests.support.postgres import PostgresServer, Warehouse
from tests.test_engines import steps
from tests.test_engines.targets import Target


def do(action: AdHocAction) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        result: AdHocResult = perform(action, Path(folder))
    return result


def query(connection: ResolvedConnection, sql: str, limit: int = 100) -> RowsResult:
    result: RowsResult = do(QueryAction(connection=connection, sql=sql, limit=limit))
    return result


def refused(call: Callable[[], object]) -> str:
    with pytest.raises(StepError) as caught:
        call()
    return caught.value.code


@pytest.fixture
def shop(target: Target) -> Target:
    """Two tables and a view, in PostgreSQL and in DuckDB."""
    if target.connection.kind == "duckdb":
        assert target.connection.root is not None
        (Path(target.connection.root) / "warehouse").mkdir(exist_ok=True)
    for statement in (
        "CREATE SCHEMA shop",
        "CREATE TABLE shop.orders (id bigint PRIMARY KEY, made timestamp NOT NULL, note text)",
        "INSERT INTO shop.orders VALUES (1, '2024-02-29', 'a'), (2, '2024-03-01', NULL)",
        "CREATE TABLE shop.items (order_id int, position int, PRIMARY KEY (order_id, position))",
        "CREATE VIEW shop.open_orders AS SELECT id FROM shop.orders",
    ):
        run(target, statement)
    return target


def run(target: Target, sql: str) -> None:
    if target.connection.kind == "postgres":
        target.query(sql)
        return
    import duckdb

    assert target.connection.root is not None
    with duckdb.connect(f"{target.connection.root}/warehouse/warehouse.duckdb") as database:
        database.execute(sql)


def test_a_database_tells_its_tables_columns_types_and_keys(shop: Target) -> None:
    found: IntrospectionResult = do(IntrospectAction(connection=shop.connection))
    assert "shop" in found.schemas
    tables = {table.name: table for table in found.tables}
    assert set(tables) == {"orders", "items", "open_orders"}
    orders = tables["orders"]
    assert (orders.schema_name, orders.kind, orders.primary_key) == ("shop", "table", ("id",))
    assert [(c.name, c.nullable) for c in orders.columns] == [
        ("id", False),
        ("made", False),
        ("note", True),
    ]
    assert orders.columns[0].data_type.lower() == "bigint"
    assert tables["items"].primary_key == ("order_id", "position")
    assert tables["open_orders"].kind == "view"


def test_tables_come_in_pages_and_by_name(shop: Target) -> None:
    first = do(IntrospectAction(connection=shop.connection, limit=2))
    second = do(IntrospectAction(connection=shop.connection, limit=2, offset=first.next_offset))
    names = [table.name for table in (*first.tables, *second.tables)]
    assert (names, second.next_offset) == (["items", "open_orders", "orders"], None)
    found = do(IntrospectAction(connection=shop.connection, search="ORDER", schema_name="shop"))
    assert [table.name for table in found.tables] == ["open_orders", "orders"]
    assert do(IntrospectAction(connection=shop.connection, schema_name="nowhere")).tables == ()


def test_a_preview_has_the_first_rows_and_says_that_there_are_more(shop: Target) -> None:
    shown = do(
        PreviewAction(
            connection=shop.connection, table="orders", schema_name="shop", limit=1,
            columns=("note", "id"),
        )
    )  # fmt: skip
    assert [column.name for column in shown.columns] == ["note", "id"]
    assert (len(shown.rows), shown.is_truncated) == (1, True)
    whole = do(
        PreviewAction(connection=shop.connection, table="orders", schema_name="shop", limit=2)
    )
    assert (whole.rows[1][0], whole.rows[1][2], whole.is_truncated) == (2, None, False)
    missing = PreviewAction(connection=shop.connection, table='x"; DROP', limit=1)
    assert refused(lambda: do(missing)) == "table_missing"


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO shop.orders VALUES (3, '2024-03-01', 'x')",
        "INSERT INTO shop.orders VALUES (3, '2024-03-01', 'x') RETURNING id",
        "UPDATE shop.orders SET note = 'x'",
        "DELETE FROM shop.orders",
        "TRUNCATE shop.orders",
        "CREATE TABLE shop.more (id int)",
        "DROP TABLE shop.items",
        "SELECT 1; DROP TABLE shop.items",
        "COMMIT",
        "ROLLBACK; DROP TABLE shop.items",
    ],
)
def test_a_query_changes_nothing(shop: Target, sql: str) -> None:
    refused(lambda: query(shop.connection, sql))
    assert shop.count("shop.orders") == 2
    assert shop.count("shop.items") == 0
    assert shop.query("SELECT count(*) FROM shop.orders WHERE note = 'x'") == [(0,)]


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1; COMMIT; DROP TABLE shop.items",
        "WITH x AS (DELETE FROM shop.orders RETURNING id) SELECT * FROM x",
        "SELECT * FROM shop.orders FOR UPDATE",
        "SELECT set_config('transaction_read_only', 'off', true)",
        "SET TRANSACTION READ WRITE",
        "DO $$ BEGIN COMMIT; DELETE FROM shop.orders; END $$",
        "COPY (SELECT 1) TO PROGRAM 'id'",
        "COPY shop.orders TO STDOUT",
        "CALL nothing()",
        "LISTEN x",
        "SELECT nextval('shop.numbers')",
    ],
)
def test_postgresql_offers_no_way_out_of_the_transaction(warehouse: Warehouse, sql: str) -> None:
    for statement in (
        "CREATE SCHEMA shop",
        "CREATE TABLE shop.orders AS SELECT 1 AS id",
        "CREATE TABLE shop.items (id int)",
        "CREATE SEQUENCE shop.numbers",
    ):
        warehouse.query(statement)
    refused(lambda: query(steps.postgres(warehouse.config), sql))
    assert warehouse.query("SELECT count(*) FROM shop.orders, pg_class WHERE relname = 'items'")[
        0
    ] == (1,)
    assert warehouse.query("SELECT is_called FROM shop.numbers") == [(False,)]


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM glob('/etc/*')",
        "COPY (SELECT 1) TO '/tmp/out.csv'",
        "ATTACH '/tmp/other.duckdb'",
        "SET enable_external_access = true",
        "INSTALL httpfs",
        "SELECT * FROM read_text('/proc/self/environ')",
    ],
)
def test_duckdb_reaches_no_other_file(tmp_path: Path, sql: str) -> None:
    import duckdb

    (tmp_path / "warehouse").mkdir()
    duckdb.connect(str(tmp_path / "warehouse" / "warehouse.duckdb")).close()
    refused(lambda: query(steps.duckdb(tmp_path), sql))


def test_what_reads_may_be_asked(shop: Target) -> None:
    assert query(shop.connection, "SELECT 1 AS a;").rows == ((1,),)
    assert query(shop.connection, "WITH x AS (SELECT 2 AS b) SELECT * FROM x -- end").rows == (
        (2,),
    )
    assert query(shop.connection, "EXPLAIN SELECT 1").rows
    assert query(shop.connection, "SELECT '50%' AS a, '%s' AS b").rows == (("50%", "%s"),)
    assert query(shop.connection, "SELECT 1 AS a WHERE false").rows == ()
    assert refused(lambda: query(shop.connection, "SELEC 1")) == "sql_invalid"
    assert refused(lambda: query(shop.connection, "SELECT nope FROM shop.orders")) in (
        "column_missing",
        "sql_invalid",
    )


def test_rows_and_values_are_limited(shop: Target) -> None:
    numbers = query(shop.connection, "SELECT * FROM generate_series(1, 5000) AS t(n)", 1000)
    assert (len(numbers.rows), numbers.is_truncated) == (1000, True)
    exact = query(shop.connection, "SELECT * FROM generate_series(1, 10) AS t(n)", 10)
    assert (len(exact.rows), exact.is_truncated) == (10, False)
    huge = query(shop.connection, "SELECT repeat('x', 60000000) AS a, 1 AS b")
    assert len(str(huge.rows[0][0])) == MAX_CELL + 1
    assert (huge.rows[0][1], huge.truncated_cells) == (1, 1)
    many = query(
        shop.connection, "SELECT repeat('x', 9000) FROM generate_series(1, 1000)", limit=1000
    )
    assert many.is_truncated
    assert len(many.model_dump_json()) < MAX_RESULT + 50_000


def test_what_json_would_lose_is_text(warehouse: Warehouse) -> None:
    shown = query(
        steps.postgres(warehouse.config),
        """
        SELECT 9007199254740993::int8 AS big, 12.50::numeric AS price, 1.5::float8 AS half,
            'NaN'::float8 AS nan, 'infinity'::timestamptz AS forever, '0044-03-15 BC'::date AS ides,
            true AS yes, NULL::int AS nothing, '{"b": 1, "a": null}'::json AS document,
            ARRAY[1,2] AS numbers, '\\x00ff'::bytea AS bytes, 7::int2 AS small
        """,
    )
    assert shown.rows == (
        (
            "9007199254740993", "12.50", 1.5, "nan", "infinity", "0044-03-15 BC", True, None,
            '{"b": 1, "a": null}', "{1,2}", "\\x00ff", 7,
        ),
    )  # fmt: skip
    types = {column.name: column.data_type for column in shown.columns}
    assert (types["price"], types["forever"]) == ("numeric", "timestamp with time zone")


def test_a_statement_that_takes_too_long_is_ended(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    from datanika.engines.ad_hoc import read_only

    monkeypatch.setattr(read_only, "STATEMENT_SECONDS", 0.3)
    connection = steps.postgres(warehouse.config)
    assert refused(lambda: query(connection, "SELECT pg_sleep(20)")) == "query_timeout"
    # Nor does it help to switch the limit off first.
    slow = (
        "SELECT set_config('statement_timeout', '0', false), "
        "CASE WHEN n > 1 THEN pg_sleep(20) END FROM generate_series(1, 3) n"
    )
    assert refused(lambda: query(connection, slow)) == "query_timeout"


def test_uploaded_files_are_listed_with_the_columns_they_seem_to_have(tmp_path: Path) -> None:
    files = steps.files(tmp_path, "csv")
    (tmp_path / "files" / "a").mkdir()
    (tmp_path / "files" / "a" / "orders[1].csv").write_text("id,name,at\n1,x,2024-01-01\n")
    (tmp_path / "files" / "broken.csv").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "files" / "elsewhere").symlink_to("/etc/passwd")
    found: IntrospectionResult = do(IntrospectAction(connection=files))
    orders, broken = found.tables
    assert (orders.name, orders.kind, orders.bytes) == ("a/orders[1].csv", "file", 26)
    assert [(c.name, c.data_type) for c in orders.columns] == [
        ("id", "BIGINT"),
        ("name", "VARCHAR"),
        ("at", "DATE"),
    ]
    assert broken.name == "broken.csv"
    shown: RowsResult = do(
        PreviewAction(connection=files, table="a/*.csv", limit=5, columns=("at", "id"))
    )
    assert shown.rows == (("2024-01-01", 1),)
    outside = PreviewAction(connection=files, table="../../etc/passwd", limit=1)
    assert refused(lambda: do(outside)) == "path_outside"
    linked = PreviewAction(connection=files, table="elsewhere", limit=1)
    assert refused(lambda: do(linked)) == "path_outside"


def model(warehouse: ResolvedConnection, **files: str) -> ResolvedTransform:
    """A project of one or more models."""
    from datanika.compiler import build_project
    from datanika.contracts.spec import TransformationSpec

    step = TransformStep(key="compile", destination_id=warehouse.id)
    specs = [
        TransformationSpec(
            name=name, destination_id=warehouse.id, sql=sql,
            materialization="incremental" if "is_incremental" in sql else "view",
        )
        for name, sql in files.items()
    ]  # fmt: skip
    return ResolvedTransform(
        run_id=0, attempt=0, step=step, destination=warehouse, project_name="org1",
        files=build_project("org1", step, warehouse.kind, specs, []),
    )  # fmt: skip


def test_a_model_is_compiled_without_a_warehouse() -> None:
    nowhere = steps.postgres(
        {"host": "127.0.0.1", "port": 1, "database": "d", "user": "u", "password": "secret"}
    )
    step = model(
        nowhere,
        a="select 1 as id",
        b="select * from {{ ref('a') }}"
        "{% if is_incremental() %} where id > (select max(id) from {{ this }}){% endif %}",
    )
    first: CompiledResult = do(CompileAction(step=step, model="b"))
    assert first.sql.strip() == 'select * from "d"."analytics"."a"'
    assert (first.relation, first.materialization) == ("analytics.b", "incremental")
    assert first.depends_on == ("model.org1.a",)


def test_a_later_run_of_an_incremental_model_compiles_differently(tmp_path: Path) -> None:
    step = model(
        steps.duckdb(tmp_path),
        b="select 1 as id{% if is_incremental() %} where true{% endif %}",
    )
    assert "where" not in do(CompileAction(step=step, model="b")).sql
    assert "where true" in do(CompileAction(step=step, model="b", incremental=True)).sql


def test_code_is_formatted_and_its_jinja_is_never_rendered() -> None:
    nothing = ResolvedConnection(id=0, name="nothing", kind="duckdb", config={})

    def formatted(sql: str) -> FormatResult:
        result: FormatResult = do(FormatAction(connection=nothing, sql=sql))
        return result

    jinja = "{{ env_var('HOME') }}"
    shown = formatted(f"SELECT a,b  FROM {{{{ ref('x') }}}} WHERE c = {jinja}")
    assert shown.sql == f"select a, b from {{{{ ref('x') }}}} where c = {jinja}\n"
    assert shown.is_changed and not formatted(shown.sql).is_changed
    assert refused(lambda: formatted("select 1) from a")) == "sql_not_formatted"


def test_code_is_judged_by_line_and_rule() -> None:
    nothing = ResolvedConnection(id=0, name="nothing", kind="duckdb", config={})

    def linted(sql: str, kind: str = "postgres", **macros: str) -> LintResult:
        action = LintAction(connection=nothing, sql=sql, dialect=kind, macros=macros)
        result: LintResult = do(action)
        return result

    found = linted("select a\nfrom {{ ref('x') }} as t\nwhere a = null\n")
    assert [(one.line, one.column, one.rule, one.severity) for one in found.issues] == [
        (2, 24, "AL05", "warning"),
        (3, 9, "CV05", "warning"),
    ]
    assert found.issues[0].name == "aliasing.unused" and "'t'" in found.issues[0].message
    assert (found.errors, found.warnings) == (0, 2)
    [broken] = linted("select a from b where (\n").issues
    assert (broken.rule, broken.severity, broken.line) == ("PRS", "error", 1)
    [open_block] = linted("select a\nfrom b {% if x %}\n").issues
    assert (open_block.rule, open_block.severity) == ("JNJ", "error")
    mine = "{% macro mine(x) %}{{ x }} + 1{% endmacro %}"
    assert linted("select {{ mine('a') }} as b from c\n", mine=mine).issues == ()
    assert linted("select {{ dbt_utils.star(ref('x')) }} from {{ ref('x') }}\n").errors == 0
    assert linted("select top 1 a from [b]\n", "mssql").errors == 0
    for kind in ("redshift", "snowflake", "bigquery", "databricks", "clickhouse", "duckdb"):
        assert linted("select a from b\n", kind).issues == ()


def test_directives_in_comments_do_not_reach_the_linter(tmp_path: Path) -> None:
    nothing = ResolvedConnection(id=0, name="nothing", kind="duckdb", config={})
    (tmp_path / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    for line in (
        f"-- sqlfluff:templater:jinja:library_path:{tmp_path}",
        f"--sqlfluff:templater:jinja:library_path:{tmp_path}",
        "-- sqlfluff:dialect:nonsense",
    ):
        result: LintResult = do(
            LintAction(connection=nothing, sql=f"{line}\nselect 1 as a\n", dialect="postgres")
        )
        assert result.errors == 0
    assert not (tmp_path / "ran").exists()


def test_a_preview_of_a_model_reads_its_compiled_sql(shop: Target) -> None:
    step = model(
        shop.connection, b="select id, note from {{ source('shop', 'orders') }} order by 1"
    )
    shown: RowsResult = do(CompileAction(step=step, model="b", limit=1))
    assert (shown.rows, shown.is_truncated) == (((1, "a"),), True)
    assert "from" in str(shown.compiled_sql)
    gone = model(shop.connection, b="select * from {{ source('shop', 'gone') }}")
    assert refused(lambda: do(CompileAction(step=gone, model="b", limit=1))) == "table_missing"


def test_a_role_sees_only_schemas_that_it_may_use(
    warehouse: Warehouse, postgres_server: PostgresServer
) -> None:
    from datanika.runtime import databases

    admin = postgres_server.cluster.admin_url.rsplit("/", 1)[0] + f"/{warehouse.database}"
    with databases.cursor(admin) as cursor:
        cursor.execute("CREATE SCHEMA hidden CREATE TABLE secret_plans (id int)")
    found = do(IntrospectAction(connection=steps.postgres(warehouse.config)))
    assert "hidden" not in found.schemas
    assert found.tables == ()
