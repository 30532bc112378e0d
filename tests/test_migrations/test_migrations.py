"""The migrations, run as ``alembic`` runs them on a database of their own."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from pydantic import SecretStr
from sqlalchemy import make_url

import migrations.helpers as helpers
from datanika.config import settings
from datanika.models import Base
from tests.support.superuser import superuser

ROOT = Path(__file__).parents[2]


@pytest.fixture
def alembic_config() -> Config:
    config = Config(ROOT / "alembic.ini")
    config.attributes["logging"] = False
    return config


@pytest.fixture
def empty(postgres_server: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The name of an empty database, owned by a plain login that migrations then use.

    Roles belong to the whole server, which other tests share, so the migrations make and use roles
    of other names here.
    """
    name = f"migrations_{secrets.token_hex(6)}"
    password = secrets.token_hex(16)
    with superuser(postgres_server.admin_url, "postgres") as sql:
        sql.execute(f"CREATE ROLE {name} LOGIN PASSWORD '{password}'")
        sql.execute(f"CREATE DATABASE {name} OWNER {name}")
    url = make_url(postgres_server.admin_url).set(username=name, password=password, database=name)
    monkeypatch.setattr(helpers, "APP_ROLE", f"{name}_app")
    monkeypatch.setattr(helpers, "SYSTEM_ROLE", f"{name}_system")
    monkeypatch.setattr(
        settings, "database_admin_url", SecretStr(url.render_as_string(hide_password=False))
    )
    settings.__dict__.pop("admin_url", None)
    yield name
    settings.__dict__.pop("admin_url", None)
    with superuser(postgres_server.admin_url, "postgres") as sql:
        sql.execute(f"DROP DATABASE {name} WITH (FORCE)")
        sql.execute(f"DROP ROLE IF EXISTS {name}_app, {name}_system, {name}")


@pytest.fixture
def may_create_roles(empty: str, postgres_server: Any) -> str:
    with superuser(postgres_server.admin_url, "postgres") as sql:
        sql.execute(f"ALTER ROLE {empty} CREATEROLE")
    return empty


def tables(admin_url: str, database: str) -> set[str]:
    with superuser(admin_url, database) as sql:
        sql.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        return {name for (name,) in sql.fetchall()} - {"alembic_version"}


def test_every_models_table_is_a_public_table() -> None:
    assert tuple(sorted(Base.metadata.tables)) == helpers.PUBLIC_TABLES


def test_upgrade_and_downgrade_leave_what_they_should(
    may_create_roles: str, alembic_config: Config, postgres_server: Any
) -> None:
    for _ in range(2):
        command.upgrade(alembic_config, "head")
        assert tables(postgres_server.admin_url, may_create_roles) == set(helpers.PUBLIC_TABLES)
        command.downgrade(alembic_config, "base")
        assert tables(postgres_server.admin_url, may_create_roles) == set()


def test_models_and_migrations_agree(may_create_roles: str, alembic_config: Config) -> None:
    command.upgrade(alembic_config, "head")
    command.check(alembic_config)


def test_missing_roles_are_named_with_the_statements_that_make_them(
    empty: str, alembic_config: Config, postgres_server: Any
) -> None:
    with pytest.raises(CommandError) as refused:
        command.upgrade(alembic_config, "head")
    assert f"no role {empty}_app and no role {empty}_system" in str(refused.value)
    assert f"CREATE ROLE {empty}_system NOLOGIN" in str(refused.value)
    assert tables(postgres_server.admin_url, empty) == set()


def test_a_plain_owner_migrates_when_somebody_made_the_roles(
    empty: str, alembic_config: Config, postgres_server: Any
) -> None:
    with superuser(postgres_server.admin_url, "postgres") as sql:
        sql.execute(f"CREATE ROLE {empty}_app; CREATE ROLE {empty}_system")
        sql.execute(f"GRANT {empty}_system TO {empty}_app WITH INHERIT FALSE, SET TRUE")
    command.upgrade(alembic_config, "head")
    assert tables(postgres_server.admin_url, empty) == set(helpers.PUBLIC_TABLES)


def test_an_application_that_inherits_the_system_role_is_refused(
    empty: str, alembic_config: Config, postgres_server: Any
) -> None:
    with superuser(postgres_server.admin_url, "postgres") as sql:
        sql.execute(f"CREATE ROLE {empty}_app; CREATE ROLE {empty}_system")
        sql.execute(f"GRANT {empty}_system TO {empty}_app")
    with pytest.raises(CommandError, match="without inheriting it"):
        command.upgrade(alembic_config, "head")


def test_every_table_forces_row_level_security(
    may_create_roles: str, alembic_config: Config, postgres_server: Any
) -> None:
    command.upgrade(alembic_config, "head")
    with superuser(postgres_server.admin_url, may_create_roles) as sql:
        sql.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace "
            "AND relkind IN ('r', 'p') AND NOT (relrowsecurity AND relforcerowsecurity)"
        )
        assert sql.fetchall() == [("alembic_version",)]


def test_a_table_in_use_makes_the_migration_fail_instead_of_blocking_everybody(
    may_create_roles: str,
    alembic_config: Config,
    postgres_server: Any,
) -> None:
    command.upgrade(alembic_config, "head")
    # Each migration is a transaction of its own; the one that takes this table is the next.
    command.downgrade(alembic_config, "0004")
    before = tables(postgres_server.admin_url, may_create_roles)
    with superuser(postgres_server.admin_url, may_create_roles) as sql:
        sql.execute(f"ALTER ROLE {may_create_roles} SET lock_timeout = '0'")
        sql.connection.autocommit = False
        sql.execute("LOCK TABLE refresh_tokens IN ACCESS SHARE MODE")
        with pytest.raises(Exception, match="lock timeout"):
            command.downgrade(alembic_config, "base")
        sql.connection.rollback()
    assert tables(postgres_server.admin_url, may_create_roles) == before
