"""How many requests one web process answers: ``uv run python -m tests.benchmarks.api``.

A durable PostgreSQL, the web process as ``datanika up`` starts it (UI included), and a load
generator of its own, all on this machine. Cases:

* ``list``: the first 50 of an organisation's pipelines, over 10,000 pipelines in 200 organisations,
  a login of another organisation with each request; ``list_limit``: the same query from a bare
  FastAPI and asyncpg endpoint, measured in turns with it (``ratio``: ours / theirs in speed).
* ``list_tenfold``: the same with ten times the rows.
* ``get``, ``create``: one pipeline read; one made, specification compiled and audited.
* ``login``: an e-mail address and a password for tokens, one at a time.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import httpx
import pytest

from datanika.config import settings
from datanika.security import create_access_token, hash_password
from tests.benchmarks.http_load import Load, run
from tests.benchmarks.report import print_case
from tests.support.net import free_port
from tests.support.pipelines import two_steps
from tests.support.postgres import PostgresServer, make_template, migrated_database, running_server
from tests.support.superuser import superuser, superuser_url
from tests.support.web import built_frontend, serve

ORGANIZATIONS = 200
PIPELINES = 10_000
ROUNDS = 3
SECONDS = 6.0
CONNECTIONS = 8
LOGINS = 60
PASSWORD = "correct horse battery staple"

_FILL = """
INSERT INTO organizations (name, slug) SELECT 'Org ' || i, 'org-' || i
  FROM generate_series(1, %(organizations)s) i;
INSERT INTO users (email, name, password_hash, email_verified_at)
  SELECT 'user' || i || '@example.com', 'User ' || i, %(password)s, now()
  FROM generate_series(1, %(organizations)s) i;
INSERT INTO memberships (org_id, user_id, role)
  SELECT o.id, u.id, 'owner'
  FROM organizations o JOIN users u ON u.name = 'User ' || substr(o.name, 5);
INSERT INTO login_sessions (user_id, family, kind, method, last_used_at, expires_at)
  SELECT id, 'family' || id, 'refresh', 'password', now(), now() + interval '1 day' FROM users;
INSERT INTO connections (org_id, name, kind, config)
  SELECT id, k.name, k.kind, '{"format": "csv"}' FROM organizations,
    (VALUES ('files', 'files'), ('warehouse', 'duckdb')) k(name, kind);
"""
_ADD_PIPELINES = """
INSERT INTO pipelines (org_id, name, description)
  SELECT o.id, 'pipeline ' || i, 'Loads the orders of shop ' || i || ' every morning.'
  FROM organizations o, generate_series(%(first)s, %(last)s) i;
INSERT INTO pipeline_versions (org_id, pipeline_id, number, spec, spec_hash)
  SELECT p.org_id, p.id, 1, %(spec)s::jsonb, repeat('0', 64) FROM pipelines p
  WHERE p.current_version_id IS NULL;
UPDATE pipelines p SET current_version_id = v.id FROM pipeline_versions v
  WHERE v.pipeline_id = p.id AND p.current_version_id IS NULL;
"""


class Bench:
    """A filled database and a web process on it."""

    def __init__(self, server: PostgresServer, database: str, url: str, bare_url: str) -> None:
        self.server, self.database = server, database
        self.url, self.bare_url = url, bare_url

    def sql(self, text: str, values: dict[str, Any] | None = None) -> list[tuple[Any, ...]]:
        with superuser(self.server.admin_url, self.database) as cursor:
            cursor.execute(text, values)
            return list(cursor.fetchall()) if cursor.description else []

    def fill(self) -> None:
        values = {"organizations": ORGANIZATIONS, "password": hash_password(PASSWORD)}
        self.sql(_FILL, values)
        self.add_pipelines(1, PIPELINES // ORGANIZATIONS)

    def add_pipelines(self, first: int, last: int) -> None:
        spec = two_steps(1, 2).model_dump_json()
        self.sql(_ADD_PIPELINES, {"first": first, "last": last, "spec": spec})
        # Now, and not in the middle of what is measured.
        self.sql("VACUUM (ANALYZE)")
        self.sql("CHECKPOINT")

    def logins(self) -> list[tuple[int, dict[str, str]]]:
        """An organisation and the headers of its owner, for each organisation."""
        rows = self.sql(
            "SELECT m.org_id, m.user_id, s.id FROM memberships m "
            "JOIN login_sessions s USING (user_id) ORDER BY m.org_id"
        )
        return [
            (org_id, {"Authorization": f"Bearer {create_access_token(user_id, org_id, session)}"})
            for org_id, user_id, session in rows
        ]

    def load(self, requests: list[Any], **more: Any) -> dict[str, Any]:
        options = {"url": self.url, "seconds": SECONDS, "connections": CONNECTIONS} | more
        return run(Load(requests=requests, **options))


@contextmanager
def bare(database_url: str) -> Iterator[str]:
    """The bare endpoint in a process of its own; its address."""
    port = free_port()
    command = ["-m", "uvicorn", "--factory", "tests.benchmarks.bare_api:create_app"]
    process = subprocess.Popen(
        [sys.executable, *command, "--port", str(port), "--no-access-log", "--log-level", "error"],
        env=os.environ | {"BARE_DATABASE_URL": database_url},
    )
    try:
        wait_for(f"http://127.0.0.1:{port}/orgs/1/pipelines")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(20)


def wait_for(url: str) -> None:
    until = time.monotonic() + 30
    while time.monotonic() < until:
        try:
            httpx.get(url).raise_for_status()
            return
        except httpx.TransportError:
            time.sleep(0.1)
    raise RuntimeError(f"{url} does not answer")


def measure(bench: Bench) -> None:
    logins = bench.logins()
    lists = [("GET", "/api/v1/pipelines", headers, "") for _, headers in logins]
    bares = [("GET", f"/orgs/{org_id}/pipelines", {}, "") for org_id, _ in logins]
    ours, theirs = [], []
    for _ in range(ROUNDS):
        ours.append(bench.load(lists))
        theirs.append(bench.load(bares, url=bench.bare_url))
    listed, limit = middle(ours), middle(theirs)
    size = {"pipelines": PIPELINES, "organizations": ORGANIZATIONS}
    print_case("list", size | listed | {"ratio": listed["req_per_s"] / limit["req_per_s"]})
    print_case("list_limit", size | limit)

    first = bench.sql("SELECT org_id, min(id) FROM pipelines GROUP BY org_id")
    by_org = dict(logins)
    gets = [("GET", f"/api/v1/pipelines/{key}", by_org[org_id], "") for org_id, key in first]
    print_case("get", size | middle([bench.load(gets) for _ in range(ROUNDS)]))

    print_case("create", size | bench.load(creates(bench, logins)))

    login = f'{{"email": "user%d@example.com", "password": "{PASSWORD}"}}'
    bodies = [login.replace("%d", str(number)) for number in range(1, LOGINS + 1)]
    requests = [("POST", "/api/v1/auth/login", {}, body) for body in bodies]
    once = {"connections": 1, "most": LOGINS, "seconds": 120.0, "warm_up": 0.0}
    print_case("login", bench.load(requests, **once))

    per_org = PIPELINES // ORGANIZATIONS
    bench.add_pipelines(per_org + 1, per_org * 10)
    tenfold = middle([bench.load(lists) for _ in range(ROUNDS)])
    grown = {"pipelines": PIPELINES * 10, "organizations": ORGANIZATIONS}
    slower = {"ratio_to_list": tenfold["req_per_s"] / listed["req_per_s"]}
    print_case("list_tenfold", grown | tenfold | slower)


def creates(bench: Bench, logins: list[tuple[int, dict[str, str]]]) -> list[Any]:
    """Enough different new pipelines for the time that is measured."""
    ids: dict[int, dict[str, int]] = {}
    for org_id, name, key in bench.sql("SELECT org_id, name, id FROM connections"):
        ids.setdefault(org_id, {})[name] = key
    found = []
    for number in range(25):
        for org_id, headers in logins:
            spec = two_steps(ids[org_id]["files"], ids[org_id]["warehouse"]).model_dump_json()
            body = f'{{"name": "new {number}", "spec": {spec}}}'
            found.append(("POST", "/api/v1/pipelines", headers, body))
    return found


def middle(rounds: list[dict[str, Any]]) -> dict[str, Any]:
    """The round with the median speed; errors of all rounds."""
    speed = median(found["req_per_s"] for found in rounds)
    chosen = min(rounds, key=lambda found: abs(found["req_per_s"] - speed))
    errors: dict[str, int] = {}
    for found in rounds:
        for status, count in found["errors"].items():
            errors[status] = errors.get(status, 0) + count
    return chosen | {"errors": errors}


async def main() -> None:
    folder = Path(tempfile.mkdtemp(prefix="datanika-bench-"))
    frontend = await asyncio.to_thread(built_frontend, folder / "ui")
    with running_server(durable=True) as server, pytest.MonkeyPatch.context() as monkeypatch:
        template = await asyncio.to_thread(make_template, server)
        async with migrated_database(server, template, monkeypatch, folder / "home") as database:
            await asyncio.to_thread(serve_and_measure, server, database, frontend, folder / "home")


def serve_and_measure(server: PostgresServer, database: str, frontend: Path, home: Path) -> None:
    with (
        serve(frontend, home) as web,
        bare(superuser_url(server.admin_url, database)) as bare_url,
    ):
        bench = Bench(server, database, web.url, bare_url)
        bench.fill()
        measure(bench)


if __name__ == "__main__":
    assert settings.env == "development"
    asyncio.run(main())
