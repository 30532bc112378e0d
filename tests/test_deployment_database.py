"""``docker/postgres-init.sh`` gives compose the same roles and databases as ``datanika up`` has."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from datanika.runtime import databases
from datanika.runtime.postgres import PostgresCluster, bin_dir
from tests.support.postgres import run_cluster, stop_cluster

ROOT = Path(__file__).parent.parent
PASSWORDS = {name: secrets.token_urlsafe(12) for name in databases.LOGINS}

ROLES = """
    SELECT rolname, rolsuper, rolcreaterole, rolcreatedb, rolcanlogin, rolbypassrls
    FROM pg_roles WHERE rolname !~ '^pg_' AND rolname <> 'demo' ORDER BY rolname
"""
MEMBERS = """
    SELECT roleid::regrole::text, member::regrole::text, inherit_option, set_option
    FROM pg_auth_members WHERE roleid::regrole::text !~ '^pg_' ORDER BY 1, 2
"""
RIGHTS = """
    SELECT datname, datdba::regrole::text, datacl::text
    FROM pg_database WHERE datname NOT IN ('template0', 'demo_warehouse') ORDER BY datname
"""


@contextmanager
def cluster(folder: Path) -> Iterator[PostgresCluster]:
    """A server of its own: roles belong to a whole server."""
    folder.mkdir()
    running, process = run_cluster(folder)
    try:
        yield running
    finally:
        stop_cluster(process)


@pytest.fixture(scope="module")
def composed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresCluster]:
    """A server after the script of docker-compose.yml, which runs it as the superuser."""
    with cluster(tmp_path_factory.mktemp("composed") / "pg") as running:
        subprocess.run(
            [ROOT / "docker/postgres-init.sh"],
            env={
                "PATH": f"{bin_dir()}{os.pathsep}{os.environ['PATH']}",
                "PGHOST": "127.0.0.1",
                "PGPORT": str(running.port),
                "PGPASSWORD": running.password,
                "DATANIKA_OWNER_PASSWORD": PASSWORDS[databases.OWNER],
                "DATANIKA_APP_PASSWORD": PASSWORDS[databases.APPLICATION],
                "PREFECT_DB_PASSWORD": PASSWORDS[databases.PREFECT],
            },
            check=True,
            timeout=60,
        )
        yield running


def rows(url: str, query: str) -> list[tuple[Any, ...]]:
    with databases.cursor(url) as cur:
        cur.execute(query)
        return list(cur.fetchall())


def test_roles_memberships_and_rights_are_those_of_the_embedded_runtime(
    composed: PostgresCluster, tmp_path: Path
) -> None:
    with cluster(tmp_path / "pg") as embedded:
        databases.ensure_platform_databases(embedded.admin_url, PASSWORDS)
        for query in (ROLES, MEMBERS, RIGHTS):
            assert rows(composed.admin_url, query) == rows(embedded.admin_url, query)


def test_the_owner_can_migrate_and_the_application_can_use_the_result(
    composed: PostgresCluster,
) -> None:
    def url(role: str) -> str:
        return composed.url(role, PASSWORDS[role], databases.CONTROL_DB)

    subprocess.run(
        [Path(sys.executable).with_name("alembic"), "upgrade", "head"],
        cwd=ROOT,
        env={**os.environ, "DATANIKA_DATABASE_ADMIN_URL": url(databases.OWNER), "DATABASE_URL": ""},
        check=True,
        capture_output=True,
        timeout=120,
    )
    application = url(databases.APPLICATION)
    assert rows(application, "SELECT count(*) FROM organizations") == [(0,)]
    owners = "SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'"
    assert rows(application, owners) == [(databases.OWNER,)]


@pytest.mark.parametrize(
    ("role", "database"),
    [
        (databases.APPLICATION, databases.PREFECT_DB),
        (databases.PREFECT, databases.CONTROL_DB),
        (databases.OWNER, databases.PREFECT_DB),
        (databases.APPLICATION, "postgres"),
    ],
)
def test_no_role_reaches_another_ones_database(
    composed: PostgresCluster, role: str, database: str
) -> None:
    with pytest.raises(psycopg2.OperationalError, match="permission denied"):
        rows(composed.url(role, PASSWORDS[role], database), "SELECT 1")


def test_prefect_can_make_the_extension_that_its_migrations_need(composed: PostgresCluster) -> None:
    prefect = composed.url(databases.PREFECT, PASSWORDS[databases.PREFECT], databases.PREFECT_DB)
    rows(prefect, "CREATE EXTENSION pg_trgm; SELECT 1")
