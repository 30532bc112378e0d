"""build_project: the same bytes every time, the platform's yml, and dbt accepts all of it."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from datanika.compiler import build_project
from datanika.contracts.spec import LoadStep, TableSpec, TransformationSpec, TransformStep
from datanika.errors import GuardRefused

STEP = TransformStep(key="t", destination_id=2, default_schema="analytics")
LOADS = [
    LoadStep(
        key="load_shop",
        source_id=1,
        destination_id=2,
        target_schema="raw",
        tables=(TableSpec(name="orders"), TableSpec(name="shop/people.csv")),
    )
]


def spec(name: str, sql: str, **more: object) -> TransformationSpec:
    return TransformationSpec.model_validate({"name": name, "destination_id": 2, "sql": sql} | more)


SHOP = (
    spec(
        "stg_orders",
        "select id, cents / 100.0 as price\nfrom {{ source('raw', 'orders') }}",
        description="One row an order: 100 %, “quoted”.",
        tags=("staging",),
        columns=[
            {"name": "id", "description": "The key.", "tests": ["not_null", "unique"]},
            {
                "name": "price",
                "tests": [{"positive": {"severity": "warn", "name": "price_is_positive"}}],
            },
        ],
    ),
    spec(
        "orders_by_key",
        "select id, {{ doubled('price') }} as doubled from {{ ref('stg_orders') }}\n"
        "{% if is_incremental() %}where id > (select max(id) from {{ this }}){% endif %}",
        materialization="incremental",
        unique_key=("id",),
        target_schema="marts",
        columns=[
            {
                "name": "id",
                "tests": [{"relationships": {"to": "ref('stg_orders')", "field": "id"}}],
            }
        ],
    ),
    spec(
        "orders_appended",
        "select id from {{ ref('stg_orders') }}{% if is_incremental() %} where false{% endif %}",
        materialization="incremental",
    ),
    spec(
        "no_price_is_negative", "select * from {{ ref('stg_orders') }} where price < 0", kind="test"
    ),
    spec("doubled", "{% macro doubled(column) %}{{ column }} * 2{% endmacro %}", kind="macro"),
    spec(
        "test_positive",
        "{% macro test_positive(model, column_name) %}"
        "select * from {{ model }} where {{ column_name }} <= 0{% endmacro %}",
        kind="macro",
    ),
    spec("countries", "code,name\nGR,Greece\nCY,Cyprus\n", kind="seed", target_schema="lookup"),
    spec(
        "orders_history",
        "select * from {{ ref('stg_orders') }}",
        kind="snapshot",
        unique_key=("id",),
        target_schema="history",
    ),
)


def files(transformations=SHOP, kind: str = "duckdb") -> dict[str, str]:
    return build_project("org7", STEP, kind, transformations, LOADS)


@given(seed=st.integers())
def test_the_same_input_in_any_order_gives_the_same_bytes(seed):
    shuffled = list(SHOP)
    random.Random(seed).shuffle(shuffled)
    assert list(files(shuffled).items()) == list(files().items())


def test_the_tenants_sql_is_copied_byte_for_byte():
    project = files()
    assert project["models/stg_orders.sql"] == SHOP[0].sql
    assert project["seeds/countries.csv"] == SHOP[6].sql


def test_the_tree_holds_what_the_platform_and_the_tenant_wrote_and_nothing_else():
    assert list(files()) == [
        "dbt_project.yml",
        "macros/_datanika.sql",
        "macros/doubled.sql",
        "macros/test_positive.sql",
        "models/orders_appended.sql",
        "models/orders_by_key.sql",
        "models/schema.yml",
        "models/sources.yml",
        "models/stg_orders.sql",
        "seeds/countries.csv",
        "snapshots/orders_history.sql",
        "tests/no_price_is_negative.sql",
    ]


def test_sources_are_what_is_loaded_and_what_is_read():
    also = spec("b", "select * from {{ source('legacy', 'customers') }}")
    sources = yaml.safe_load(files((*SHOP, also))["models/sources.yml"])["sources"]
    assert sources == [
        {"name": "legacy", "schema": "legacy", "tables": [{"name": "customers"}]},
        {"name": "raw", "schema": "raw", "tables": [{"name": "orders"}, {"name": "people"}]},
    ]


def test_tests_keep_their_arguments_apart_from_their_settings():
    models = yaml.safe_load(files()["models/schema.yml"])["models"]
    stg_orders = next(model for model in models if model["name"] == "stg_orders")
    assert stg_orders["columns"][0]["data_tests"] == ["not_null", "unique"]
    assert stg_orders["columns"][1]["data_tests"] == [
        {"positive": {"name": "price_is_positive", "config": {"severity": "warn"}}}
    ]


def test_a_schema_is_used_verbatim_and_defaults_to_the_steps():
    models = yaml.safe_load(files()["models/schema.yml"])["models"]
    assert {model["name"]: model["config"]["schema"] for model in models} == {
        "orders_appended": "analytics",
        "orders_by_key": "marts",
        "stg_orders": "analytics",
    }


def test_other_destinations_stay_out():
    foreign = spec("secret_model", "select 1", destination_id=99)
    assert files((*SHOP, foreign)) == files()


@pytest.mark.parametrize(
    "broken",
    [
        spec("a", "{{ env_var('HOME') }}"),
        spec("a", "select 1", description="{{ env_var('HOME') }}"),
        spec("a", "select 1", tags=("{{ env_var('HOME') }}",)),
        spec("a", "select 1", unique_key=("{{ env_var('HOME') }}",)),
        spec("a", "select 1", columns=[{"name": "{{ env_var('HOME') }}"}]),
        spec("a", "select 1", columns=[{"name": "x", "description": "{% x %}"}]),
        spec(
            "a",
            "select 1",
            columns=[{"name": "x", "tests": [{"accepted_values": {"values": ["env_var('X')"]}}]}],
        ),
        spec(
            "a",
            "select 1",
            columns=[{"name": "x", "tests": [{"not_null": {"where": "{{ env_var('X') }}"}}]}],
        ),
        spec("a", "select 1 {% endsnapshot %}", kind="snapshot"),
    ],
)
def test_nothing_unguarded_is_written(broken):
    with pytest.raises(GuardRefused):
        files((broken,))


def dbt(project: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "dbt.cli.main", *arguments, "--profiles-dir", "."],
        cwd=project,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_dbt_builds_every_kind_of_transformation_twice_on_duckdb(tmp_path):
    warehouse = tmp_path / "warehouse.duckdb"
    with duckdb.connect(str(warehouse)) as connection:
        connection.execute("create schema raw")
        connection.execute("create table raw.orders as select 1 as id, 250 as cents")
    for path, content in files().items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(content)
    target = {"type": "duckdb", "path": str(warehouse), "schema": "elsewhere", "threads": 1}
    (tmp_path / "profiles.yml").write_text(
        yaml.safe_dump({"org7": {"target": "t", "outputs": {"t": target}}})
    )
    output = dbt(tmp_path, "build")
    assert "ERROR=0" in output
    assert "eprecat" not in output
    with duckdb.connect(str(warehouse)) as connection:
        connection.execute("insert into raw.orders values (2, 300)")
    dbt(tmp_path, "build")
    with duckdb.connect(str(warehouse)) as connection:
        built = connection.execute(
            "select table_schema || '.' || table_name from information_schema.tables order by 1"
        ).fetchall()
        rows = connection.execute("select * from marts.orders_by_key order by id").fetchall()
        appended = connection.execute("select id from analytics.orders_appended").fetchall()
        history = connection.execute("select count(*) from history.orders_history").fetchone()
    assert [name for (name,) in built] == [
        "analytics.orders_appended",
        "analytics.stg_orders",
        "history.orders_history",
        "lookup.countries",
        "marts.orders_by_key",
        "raw.orders",
    ]
    assert [(number, float(doubled)) for number, doubled in rows] == [(1, 5.0), (2, 6.0)]
    assert appended == [(1,)]
    assert history == (2,)
