"""PostgreSQL: judged before anything is sent, and connected to at the address that was judged."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from datanika.contracts.egress import EgressPolicy, EgressRule, OwnService
from datanika.contracts.events import Failure
from datanika.contracts.spec import TransformStep
from datanika.contracts.steps import ResolvedConnection, ResolvedTransform
from datanika.engines.ad_hoc.check import check_connection
from datanika.engines.ad_hoc.read_only import read_rows
from datanika.engines.dbt_engine.build import run_transform
from datanika.engines.dbt_engine.compile import compile_model
from datanika.engines.dbt_engine.profile import written_profile
from datanika.engines.failures import failure_of
from datanika.runtime import databases
from tests.support.canary import FakeDns
from tests.support.postgres import PostgresServer, Warehouse
from tests.test_engines.resolver import use_dns
from tests.test_engines.steps import LOCAL, duckdb, files, load, postgres, run, table

PUBLIC = EgressPolicy()
PROJECT = {
    "dbt_project.yml": "name: org1\nversion: 1.0.0\nprofile: org1\n",
    "models/one.sql": "select 1 as id",
}


def probe(connection: ResolvedConnection, folder: Path) -> Failure | None:
    try:
        check_connection(connection)
    except Exception as error:
        return failure_of(error)
    return None


def destination(connection: ResolvedConnection, folder: Path) -> Failure | None:
    source = files(folder, "csv")
    (folder / "files" / "t.csv").write_text("id\n1\n")
    return run(load(source, connection, table("t.csv", "t"))).finished.failure


def source(connection: ResolvedConnection, folder: Path) -> Failure | None:
    spec = table("pg_class", "t", columns=("relname",))
    step = load(connection, duckdb(folder), spec, source_schema="pg_catalog")
    return run(step).finished.failure


def transform_step(connection: ResolvedConnection) -> ResolvedTransform:
    return ResolvedTransform(
        run_id=1,
        attempt=1,
        step=TransformStep(key="t", destination_id=connection.id, threads=1),
        destination=connection,
        project_name="org1",
        files=PROJECT,
    )


def transform(connection: ResolvedConnection, folder: Path) -> Failure | None:
    work = folder / "project"
    work.mkdir()
    return run_transform(transform_step(connection), work, lambda event: None).failure


def query(connection: ResolvedConnection, folder: Path) -> Failure | None:
    try:
        read_rows(connection, "SELECT 1", 1, folder)
    except Exception as error:
        return failure_of(error)
    return None


USES = [probe, query, destination, source, transform]
ONE_LOOK_UP = (probe, query, source)
Use = Callable[[ResolvedConnection, Path], Failure | None]


@pytest.fixture
def canary() -> Iterator[tuple[int, list[Any]]]:
    """A port of 127.0.0.1 and who connected to it."""
    seen: list[Any] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, address = listener.accept()
                    seen.append(address)
                    connection.close()

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield listener.getsockname()[1], seen
        listener.shutdown(socket.SHUT_RDWR)
    thread.join()


def at(connection: ResolvedConnection, policy: EgressPolicy = LOCAL, **config: Any) -> Any:
    """``connection`` with another policy or other fields."""
    changed = {**connection.config, **config}
    return connection.model_copy(update={"config": changed, "egress": policy})


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "own.example", "::ffff:127.0.0.1"])
def test_a_forbidden_server_sees_no_connection(
    use: Use,
    host: str,
    canary: tuple[int, list[Any]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    port, seen = canary
    use_dns(FakeDns(own_example=[["127.0.0.1"]]), monkeypatch)
    login = {"database": "d", "user": "u", "password": "p4ssword"}
    strict = postgres({"host": host, "port": port, **login})
    own = EgressPolicy(
        networks=LOCAL.networks, own=(OwnService(host="127.0.0.1", port=port, databases=("d",)),)
    )
    for number, policy in enumerate((PUBLIC, own)):
        folder = tmp_path / str(number)
        folder.mkdir()
        failure = use(at(strict, policy), folder)
        assert failure is not None
        assert (failure.code, failure.transient) == ("egress_refused", False)
        assert failure.hint
    assert seen == []


@pytest.mark.parametrize("use", USES)
def test_the_address_that_was_judged_is_the_one_connected_to(
    use: Use, warehouse: Warehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No resolver but this process' knows the name: whoever asked another would not connect."""
    dns = FakeDns(warehouse_example=[["127.0.0.1"]])
    use_dns(dns, monkeypatch)
    environment = dict(os.environ)
    assert use(at(postgres(warehouse.config), host="warehouse.example"), tmp_path) is None
    assert dns.asked
    assert dict(os.environ) == environment


@pytest.mark.parametrize("use", USES)
def test_a_name_that_changes_its_address_is_refused_at_the_next_connection(
    use: Use, warehouse: Warehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dns = FakeDns(warehouse_example=[["127.0.0.1"], ["127.0.0.2"]])
    use_dns(dns, monkeypatch)
    policy = EgressPolicy(allow=(EgressRule.parse("127.0.0.1"),))
    failure = use(at(postgres(warehouse.config), policy, host="warehouse.example"), tmp_path)
    if use in ONE_LOOK_UP:
        assert failure is None
        tmp_path = tmp_path / "again"
        tmp_path.mkdir()
        failure = use(at(postgres(warehouse.config), policy, host="warehouse.example"), tmp_path)
    assert failure is not None
    assert failure.code == "egress_refused"


def test_compiling_needs_no_server_and_is_given_no_password(
    canary: tuple[int, list[Any]], tmp_path: Path
) -> None:
    port, seen = canary
    login = {"database": "d", "user": "u", "password": "p4ssword"}
    step = transform_step(at(postgres({"host": "127.0.0.1", "port": port, **login}), PUBLIC))
    assert "select 1 as id" in compile_model(step, "one", tmp_path, incremental=False).sql
    with written_profile(step, tmp_path, offline=True):
        assert "p4ssword" not in [*os.environ.values()]
        with pytest.raises(psycopg2.OperationalError):
            psycopg2.connect(host="127.0.0.1", port=port, dbname="d", user="u", connect_timeout=2)
    assert seen == []


def test_the_second_address_of_a_name_is_used_where_the_first_is_silent(
    warehouse: Warehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_dns(FakeDns(warehouse_example=[["127.0.0.3", "127.0.0.1"]]), monkeypatch)
    assert destination(at(postgres(warehouse.config), host="warehouse.example"), tmp_path) is None


def test_a_database_of_the_platforms_server_needs_a_rule_of_its_own(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    own = (OwnService(host="127.0.0.1", port=warehouse.port, databases=("datanika",)),)
    closed = EgressPolicy(networks=LOCAL.networks, own=own)
    opened = closed.model_copy(
        update={"allow": (EgressRule.parse(f"127.0.0.1:{warehouse.port}/{warehouse.database}"),)}
    )
    connection = postgres(warehouse.config)
    assert probe(at(connection, opened), tmp_path) is None
    for refused in (at(connection, closed), at(connection, opened, database="datanika")):
        failure = probe(refused, tmp_path)
        assert failure is not None
        assert failure.code == "egress_refused"


@pytest.fixture
def privilege(
    request: pytest.FixtureRequest, postgres_server: PostgresServer, warehouse: Warehouse
) -> Iterator[str]:
    """The warehouse's role with one more right."""
    grant, revoke = request.param
    group = f"{warehouse.user}_group"
    with databases.cursor(postgres_server.admin_url) as cur:
        cur.execute(f'CREATE ROLE "{group}"')
        cur.execute(grant.format(role=f'"{warehouse.user}"', group=f'"{group}"'))
        yield grant
        cur.execute(revoke.format(role=f'"{warehouse.user}"', group=f'"{group}"'))
        cur.execute(f'DROP ROLE "{group}"')


PRIVILEGES = [
    ("ALTER ROLE {role} SUPERUSER", "ALTER ROLE {role} NOSUPERUSER"),
    *(
        (f"GRANT {name} TO {{role}}", f"REVOKE {name} FROM {{role}}")
        for name in (
            "pg_execute_server_program", "pg_read_server_files", "pg_write_server_files"
        )
    ),
    ("GRANT pg_execute_server_program TO {group}; GRANT {group} TO {role}",
     "REVOKE {group} FROM {role}"),
    ("ALTER ROLE {group} SUPERUSER; GRANT {group} TO {role} WITH INHERIT FALSE",
     "REVOKE {group} FROM {role}"),
]  # fmt: skip


@pytest.mark.parametrize("privilege", PRIVILEGES, indirect=True)
def test_a_role_that_could_run_programs_is_refused(
    privilege: str, warehouse: Warehouse, tmp_path: Path
) -> None:
    connection = postgres(warehouse.config)
    for number, use in enumerate(USES):
        folder = tmp_path / str(number)
        folder.mkdir()
        failure = use(connection, folder)
        assert failure is not None, use
        assert (failure.code, failure.transient) == ("role_privileged", False)
        assert failure.hint
    assert warehouse.query("SELECT 1 FROM pg_namespace WHERE nspname IN ('raw', 'analytics')") == []
    allowed = LOCAL.model_copy(update={"privileged_roles": True})
    assert probe(at(connection, allowed), tmp_path) is None
