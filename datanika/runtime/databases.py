"""The databases and roles of the embedded cluster.

Three databases that cannot see each other: the control plane's (owner and application), Prefect's,
and the demo's warehouse, whose role has no right on the other two.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

OWNER, APPLICATION, SYSTEM = "datanika_owner", "datanika_app", "datanika_system"
PREFECT, DEMO = "prefect", "demo"
LOGINS = (OWNER, APPLICATION, PREFECT, DEMO)
CONTROL_DB, PREFECT_DB, DEMO_DB = "datanika", "prefect", "demo_warehouse"


@contextmanager
def cursor(url: str) -> Iterator[Any]:
    """A cursor that commits each statement."""
    import psycopg2

    with closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        with connection.cursor() as cur:
            yield cur


def ensure_role(cur: Any, name: str, password: str) -> None:
    """A login role without any other right, with this password."""
    from psycopg2 import sql

    cur.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (name,))
    verb = "ALTER" if cur.fetchone() else "CREATE"
    cur.execute(
        sql.SQL(
            "{} ROLE {} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION PASSWORD {}"
        ).format(sql.SQL(verb), sql.Identifier(name), sql.Literal(password))
    )


def ensure_database(cur: Any, name: str, owner: str, template: str | None = None) -> None:
    """A database that only its owner may connect to."""
    from psycopg2 import sql

    cur.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,))
    if cur.fetchone() is None:
        # Copied as files, not through the log: a template is small and nobody writes it.
        cur.execute(
            sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE {} STRATEGY FILE_COPY").format(
                sql.Identifier(name), sql.Identifier(owner), sql.Identifier(template or "template0")
            )
        )
    cur.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(sql.Identifier(name)))


def allow_connect(cur: Any, database: str, role: str) -> None:
    from psycopg2 import sql

    cur.execute(
        sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(
            sql.Identifier(database), sql.Identifier(role)
        )
    )


def ensure_application_roles(cur: Any, owner_password: str, app_password: str) -> None:
    """The control plane's roles, as ``docker/postgres-init`` makes them for compose."""
    ensure_role(cur, OWNER, owner_password)
    ensure_role(cur, APPLICATION, app_password)
    cur.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (SYSTEM,))
    if cur.fetchone() is None:
        cur.execute(f"CREATE ROLE {SYSTEM} NOLOGIN")
    # To become it, not to inherit it: policies of an inherited role would always apply.
    cur.execute(f"GRANT {SYSTEM} TO {APPLICATION} WITH INHERIT FALSE, SET TRUE")


def ensure_platform_databases(admin_url: str, passwords: dict[str, str]) -> None:
    """Make what is missing. ``passwords``: one for each of ``LOGINS``."""
    with cursor(admin_url) as cur:
        ensure_application_roles(cur, passwords[OWNER], passwords[APPLICATION])
        ensure_role(cur, PREFECT, passwords[PREFECT])
        ensure_role(cur, DEMO, passwords[DEMO])
        ensure_database(cur, CONTROL_DB, OWNER)
        allow_connect(cur, CONTROL_DB, APPLICATION)
        ensure_database(cur, PREFECT_DB, PREFECT)
        ensure_database(cur, DEMO_DB, DEMO)
        for database in ("postgres", "template1"):
            cur.execute(f"REVOKE ALL ON DATABASE {database} FROM PUBLIC")
