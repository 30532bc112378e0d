"""A real PostgreSQL per test process, a migrated database per test."""

from __future__ import annotations

import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from cryptography.fernet import Fernet
from pydantic import SecretStr

from datanika.config import settings
from datanika.runtime import databases
from datanika.runtime.postgres import PostgresCluster, system_user
from tests.support.net import free_port
from tests.support.processes import bound_to_us

TEMPLATE = "datanika_template"


@dataclass(frozen=True)
class PostgresServer:
    """A running cluster. ``admin_url`` is the superuser's."""

    cluster: PostgresCluster
    owner_password: str
    app_password: str

    @property
    def host(self) -> str:
        return "127.0.0.1"

    @property
    def port(self) -> int:
        return self.cluster.port

    @property
    def admin_url(self) -> str:
        return self.cluster.admin_url

    def url(self, user: str, password: str, database: str) -> str:
        return self.cluster.url(user, password, database)

    def create_database(self, name: str, role: str, password: str) -> str:
        """A database and its owner, a plain role; the owner's URL."""
        with databases.cursor(self.admin_url) as cur:
            databases.ensure_role(cur, role, password)
            databases.ensure_database(cur, name, role)
        return self.url(role, password, name)

    def drop_database(self, name: str, role: str | None = None) -> None:
        with databases.cursor(self.admin_url) as cur:
            cur.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
            if role is not None:
                cur.execute(f'DROP ROLE IF EXISTS "{role}"')


@dataclass(frozen=True)
class Warehouse:
    """A tenant's destination: a database and a role of its own."""

    host: str
    port: int
    database: str
    user: str
    password: str

    @property
    def url(self) -> str:
        return f"postgresql://{self.user}:{self.password}@{self.host}:{self.port}/{self.database}"

    @property
    def config(self) -> dict[str, Any]:
        """The configuration of a ``postgres`` connection."""
        return {
            "host": self.host,
            "port": self.port,
            "database": self.database,
            "user": self.user,
            "password": self.password,
            "sslmode": "disable",
        }

    def query(self, sql: str, parameters: tuple[Any, ...] | None = None) -> list[tuple[Any, ...]]:
        """Rows of one committed statement; an empty list where it gives none."""
        with databases.cursor(self.url) as cur:
            cur.execute(sql, parameters)
            return list(cur.fetchall()) if cur.description else []

    def connect(self) -> Any:
        """A psycopg2 connection; close it."""
        return psycopg2.connect(self.url)


def run_cluster(
    folder: Path, *, durable: bool = False
) -> tuple[PostgresCluster, subprocess.Popen[bytes]]:
    """Make and start a cluster: without durability for tests, with it for measurements.

    The log of tests has what change data capture needs.
    """
    cluster = PostgresCluster(folder / "data", free_port(), secrets.token_hex(12))
    cluster.initialise()
    command = cluster.command()
    if not durable:
        command = [*command, "-c", "fsync=off", "-c", "synchronous_commit=off"]
        command = [*command, "-c", "wal_level=logical", "-c", "max_replication_slots=30"]
    with (folder / "postgres.log").open("ab") as log:
        process = subprocess.Popen(
            bound_to_us(command, signal.SIGINT, system_user()),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            start_new_session=True,
        )
    cluster.wait_ready()
    return cluster, process


def stop_cluster(process: subprocess.Popen[bytes]) -> None:
    # SIGINT is PostgreSQL's fast shutdown: it does not wait for clients.
    process.send_signal(signal.SIGINT)
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGQUIT)
        process.wait(20)


@contextmanager
def running_server(*, durable: bool = False) -> Iterator[PostgresServer]:
    """A PostgreSQL of our own with the application's roles, until the block ends."""
    folder = Path(tempfile.mkdtemp(prefix="datanika-test-pg-"))
    cluster, process = run_cluster(folder, durable=durable)
    try:
        owner, app = secrets.token_hex(8), secrets.token_hex(8)
        with databases.cursor(cluster.admin_url) as cur:
            databases.ensure_application_roles(cur, owner, app)
        yield PostgresServer(cluster, owner, app)
    finally:
        stop_cluster(process)
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """PostgreSQL of this test process."""
    with running_server() as server:
        yield server


@pytest.fixture(scope="session")
def migrated_template(postgres_server: PostgresServer) -> str:
    """Name of a database with every migration applied; clone it, never connect."""
    return make_template(postgres_server)


def make_template(server: PostgresServer) -> str:
    """Make the database that :func:`migrated_database` clones; its name."""
    from alembic import command
    from alembic.config import Config

    with databases.cursor(server.admin_url) as cur:
        databases.ensure_database(cur, TEMPLATE, databases.OWNER)
    saved = settings.database_admin_url
    settings.database_admin_url = SecretStr(
        server.url(databases.OWNER, server.owner_password, TEMPLATE)
    )
    settings.__dict__.pop("admin_url", None)
    try:
        command.upgrade(Config(Path(__file__).parents[2] / "alembic.ini"), "head")
    finally:
        settings.database_admin_url = saved
        settings.__dict__.pop("admin_url", None)
    return TEMPLATE


@asynccontextmanager
async def migrated_database(
    server: PostgresServer, template: str, monkeypatch: pytest.MonkeyPatch, home: Path
) -> AsyncIterator[str]:
    """A fresh migrated control-plane database, with settings that point at it; its name."""
    from datanika.db import dispose_engine

    name = f"t_{secrets.token_hex(6)}"
    with databases.cursor(server.admin_url) as cur:
        databases.ensure_database(cur, name, databases.OWNER, template=template)
        databases.allow_connect(cur, name, databases.APPLICATION)
    app = server.url(databases.APPLICATION, server.app_password, name)
    owner = server.url(databases.OWNER, server.owner_password, name)
    for setting, value in {
        "database_url": SecretStr(app),
        "database_admin_url": SecretStr(owner),
        "secret_key": SecretStr(secrets.token_urlsafe(48)),
        "encryption_keys": SecretStr(f"k1:{Fernet.generate_key().decode()}"),
        "encryption_keys_file": None,
        "worker_token": SecretStr(secrets.token_urlsafe(32)),
        "home": home,
        "prefect_api_url": None,
    }.items():
        monkeypatch.setattr(settings, setting, value)
    settings.__dict__.pop("admin_url", None)
    # Whatever another test left open leads to another database.
    await dispose_engine()
    try:
        yield name
    finally:
        await dispose_engine()
        settings.__dict__.pop("admin_url", None)
        server.drop_database(name)


@pytest.fixture
async def database(
    postgres_server: PostgresServer,
    migrated_template: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> AsyncIterator[str]:
    """A fresh migrated control-plane database for one test; its name."""
    async with migrated_database(
        postgres_server, migrated_template, monkeypatch, tmp_path / "home"
    ) as name:
        yield name


@pytest.fixture
def warehouse(
    postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Warehouse]:
    """A destination for loads and transformations.

    The control plane's databases are on the same server, so this one needs a rule to be reached,
    as the demo's does.
    """
    name, password = f"w_{secrets.token_hex(6)}", secrets.token_hex(8)
    postgres_server.create_database(name, name, password)
    rule = f"{postgres_server.host}:{postgres_server.port}/{name}*"
    monkeypatch.setattr(settings, "egress_allow", rule)
    one = Warehouse(postgres_server.host, postgres_server.port, name, name, password)
    try:
        yield one
    finally:
        postgres_server.drop_database(name, name)


@pytest.fixture
def warehouses(
    postgres_server: PostgresServer, warehouse: Warehouse
) -> Iterator[tuple[Warehouse, Warehouse]]:
    """A source database and a destination database."""
    name = f"{warehouse.database}_src"
    postgres_server.create_database(name, name, warehouse.password)
    try:
        yield replace(warehouse, database=name, user=name), warehouse
    finally:
        postgres_server.drop_database(name, name)
