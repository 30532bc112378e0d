"""A secret put into every connection is found nowhere but where it belongs.

One organisation, a database and an API with their secrets, and runs that succeed, fail on the
credential, and fail in SQL while the credential is in use. Then everything the platform keeps or
shows is searched for the secrets as they are, URL-encoded and in base64. What engines say of every
other kind's secrets is searched in tests/attacks/test_secrets_of_kinds.py.
"""

from __future__ import annotations

import base64
import http.server
import json
import secrets
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from datanika.client import DatanikaClient
from datanika.contracts.api import ConnectionIn, PipelineIn
from datanika.contracts.enums import RunState
from datanika.contracts.spec import (
    LoadStep,
    PipelineSpec,
    RetryPolicy,
    TableSpec,
    TransformationSpec,
    TransformStep,
)
from datanika.runtime import databases
from datanika.runtime.ports import remembered
from datanika.runtime.postgres import PostgresCluster, bin_dir
from datanika.runtime.secrets import load_or_create
from tests.support.platform import RunningPlatform

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

RUN_SECONDS = 180


def new_canary(kind: str) -> str:
    """A secret with characters that URL encoding changes."""
    return f"canary/{kind}+{secrets.token_hex(8)}="


def forms(secret: str) -> tuple[bytes, ...]:
    """The ways a secret can be written down."""
    encoded = base64.b64encode(secret.encode()).rstrip(b"=")
    return secret.encode(), quote(secret, safe="").encode(), encoded


@contextmanager
def api_with_token(token: str) -> Iterator[str]:
    """A REST API that wants ``token``; its base URL."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            good = self.headers.get("Authorization") == f"Bearer {token}"
            body = json.dumps([{"id": 1, "name": "one"}] if good else {"error": "who?"}).encode()
            self.send_response(200 if good else 401)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Quiet."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@dataclass
class Tenant:
    client: DatanikaClient
    org_id: int
    canaries: dict[str, str] = field(default_factory=dict)
    seen: list[str] = field(default_factory=list)
    environments: set[bytes] = field(default_factory=set)


@pytest.fixture
def tenant(platform: RunningPlatform) -> Iterator[Tenant]:
    email, password = f"canary-{secrets.token_hex(4)}@example.com", secrets.token_urlsafe(16)
    with DatanikaClient(platform.url) as client:
        client.auth.register(email, password, "Canary", f"Canary {secrets.token_hex(4)}")
        client.auth.login(email, password)
        yield Tenant(client, client.auth.me().org_id)


def cluster_of(platform: RunningPlatform) -> PostgresCluster:
    return PostgresCluster(
        platform.home / "postgres",
        remembered(platform.home)["postgres"],
        load_or_create(platform.home).postgres_password,
    )


def run_to_end(tenant: Tenant, platform: RunningPlatform, name: str, spec: PipelineSpec) -> str:
    """Run a new pipeline; look into the environments of all processes meanwhile."""
    pipeline = tenant.client.pipelines.create(PipelineIn(name=name, spec=spec))
    run = tenant.client.pipelines.run(pipeline.id)
    deadline = time.monotonic() + RUN_SECONDS
    while not tenant.client.runs.get(run.id).state.is_final:
        assert time.monotonic() < deadline, tenant.client.runs.get(run.id)
        for process in platform.descendants():
            for file in ("environ", "cmdline"):
                try:
                    tenant.environments.add(Path(f"/proc/{process.pid}/{file}").read_bytes())
                except OSError:
                    continue
        time.sleep(0.1)
    tenant.seen += [
        tenant.client.runs.get(run.id).model_dump_json(),
        *(step.model_dump_json() for step in tenant.client.runs.steps(run.id)),
        *(line.model_dump_json() for line in tenant.client.runs.logs(run.id)),
        tenant.client.pipelines.plan(pipeline.id).model_dump_json(),
    ]
    return tenant.client.runs.get(run.id).state


def load(key: str, source: int, destination: int, table: str, after: tuple[str, ...] = ()) -> Any:
    return LoadStep(
        key=key,
        source_id=source,
        destination_id=destination,
        target_schema="raw",
        tables=(TableSpec(name=table, target=key),),
        depends_on=after,
        retry=RetryPolicy(retries=0, timeout_seconds=120),
    )


def test_canaries_are_found_nowhere(platform: RunningPlatform, tenant: Tenant) -> None:
    cluster, client = cluster_of(platform), tenant.client
    role = f"canary_{secrets.token_hex(4)}"
    good, wrong, token = (new_canary(kind) for kind in ("postgres", "wrong", "rest"))
    tenant.canaries = {"postgres": good, "wrong": wrong, "rest": token}
    with databases.cursor(cluster.admin_url) as cur:
        databases.ensure_role(cur, role, good)
        databases.ensure_database(cur, role, role)
    with databases.cursor(f"{cluster.admin_url.rsplit('/', 1)[0]}/{role}") as cur:
        cur.execute("CREATE TABLE public.plain AS SELECT 1 AS id")
        cur.execute(f"ALTER TABLE public.plain OWNER TO {role}")
    address = {"host": "127.0.0.1", "port": cluster.port, "database": role, "user": role}
    warehouse = client.connections.create(
        ConnectionIn(name="warehouse", kind="postgres", config={**address, "password": good})
    )
    locked = client.connections.create(
        ConnectionIn(name="locked", kind="postgres", config={**address, "password": wrong})
    )
    with api_with_token(token) as url:
        config = {
            "base_url": url,
            "auth": "bearer",
            "token": token,
            "endpoints": [{"name": "things", "path": "things"}],
        }
        api = client.connections.create(ConnectionIn(name="api", kind="rest_api", config=config))
        client.transformations.create(
            TransformationSpec(
                name="good_model", destination_id=warehouse.id, sql="select 1 as one"
            )
        )
        transform = TransformStep(
            key="transform",
            destination_id=warehouse.id,
            depends_on=("again",),
            retry=RetryPolicy(retries=0),
        )
        steps = (
            load("things", api.id, warehouse.id, "things"),
            load("again", warehouse.id, warehouse.id, "plain", ("things",)).model_copy(
                update={"source_schema": "public"}
            ),
            transform,
        )
        works = run_to_end(tenant, platform, "works", PipelineSpec(steps=steps))
        refused = PipelineSpec(steps=(load("things", api.id, locked.id, "things"),))
        refused_state = run_to_end(tenant, platform, "refused", refused)
        client.transformations.create(
            TransformationSpec(
                name="bad_model", destination_id=warehouse.id, sql="select no_such_column"
            )
        )
        broken = transform.model_copy(update={"depends_on": ()})
        broken_state = run_to_end(tenant, platform, "broken", PipelineSpec(steps=(broken,)))
    expected = (RunState.SUCCEEDED, RunState.FAILED, RunState.FAILED)
    assert (works, refused_state, broken_state) == expected, "\n".join(tenant.seen)
    shown = (client.connections, client.pipelines, client.transformations, client.catalog)
    for resource in (*shown, client.audit):
        tenant.seen += [item.model_dump_json() for item in resource.list()]

    found = [
        f"{kind}: {place}"
        for place, content in everything_kept(platform, cluster, tenant)
        for kind, canary in tenant.canaries.items()
        for form in forms(canary)
        if form in content
    ]
    assert found == []


def everything_kept(
    platform: RunningPlatform, cluster: PostgresCluster, tenant: Tenant
) -> Iterator[tuple[str, bytes]]:
    """(where, content) of all that the platform stored, printed, answered or told a process."""
    for name in (databases.CONTROL_DB, databases.PREFECT_DB):
        url = cluster.admin_url.rsplit("/", 1)[0] + f"/{name}"
        dump = subprocess.run(
            [str(bin_dir() / "pg_dump"), "--data-only", url], capture_output=True, check=True
        )
        assert len(dump.stdout) > 10_000, f"{name} was really dumped"
        yield f"database {name}", dump.stdout
    yield "API answers", "\n".join(tenant.seen).encode()
    yield "terminal", platform.text.encode()
    assert len(tenant.environments) > 5
    yield "environments and command lines", b"\n".join(tenant.environments)
    searched = 0
    for path in platform.home.rglob("*"):
        # The cluster's own files hold the tenant's warehouse, and no password but hashed.
        if path.is_file() and "postgres" not in path.relative_to(platform.home).parts[:1]:
            searched += 1
            yield str(path), path.read_bytes()
    assert searched > 10
