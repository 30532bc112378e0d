"""Trust T11: a canary credential x every kind of connection x every way to fail.

What is searched is what leaves the process that knows the credential: the bytes on the pipe of an
engine child, and the answer of a connection test. Nothing downstream can store what is not there.
"""

from __future__ import annotations

import gc
import json
import socket
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from datanika.contracts.ad_hoc import PreviewAction, ProbeAction
from datanika.contracts.catalog import connector_kinds
from datanika.contracts.enums import RunState
from datanika.contracts.events import RunFinish, StepFinished, run_event
from datanika.contracts.spec import TransformStep
from datanika.contracts.steps import ResolvedConnection, ResolvedLoad, ResolvedTransform
from datanika.db import get_session
from datanika.engines.dlt_engine.sources import pinned_session
from datanika.engines.failures import failure_of
from datanika.execution import engine_child
from datanika.execution.ad_hoc import answer_to
from datanika.execution.engine_child import EventWriter, secrets_of
from datanika.execution.redact import MASK, MAX_FAILURE, Redactor, cut
from datanika.services.connection_service import ConnectionService
from datanika.services.run_recorder import RunRecorder, claim_run
from datanika.services.run_service import RunService
from tests.attacks.ways_to_fail import REST_LOGINS, SHAPES, WAYS, Trial, forms_of
from tests.support.leaks import WINDOW, leaks, new_canary
from tests.support.pipelines import make_pipeline
from tests.support.postgres import PostgresServer
from tests.support.superuser import superuser
from tests.support.tenants import make_tenant
from tests.test_engines.steps import duckdb, files, load, table

pytestmark = pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)

CASES = [
    (kind, login, way, shape)
    for kind, ways in WAYS.items()
    for login in (REST_LOGINS if kind == "rest_api" else ["password"])
    for way in ways
    for shape in SHAPES
    # A credential with a line break is refused before it is sent; a plain one needs no four logins.
    if kind == "postgres" or shape == "odd" or (login == "bearer" and shape == "plain")
] + [("rest_api", login, "refused port", "spaced") for login in REST_LOGINS]


@pytest.fixture(autouse=True)
def _collect() -> Iterator[None]:
    yield
    gc.collect()


def credential(
    kind: str, login: str, canary: str, request: pytest.FixtureRequest
) -> dict[str, Any]:
    """A configuration whose secret is ``canary``."""
    if kind == "postgres":
        server: PostgresServer = request.getfixturevalue("postgres_server")
        place = {"host": server.host, "port": server.port, "database": "postgres"}
        return {**place, "user": "nobody", "password": canary, "sslmode": "prefer"}
    filled = {
        name: canary if value == "{}" else value for name, value in REST_LOGINS[login].items()
    }
    return {"base_url": "http://127.0.0.1:1", **filled}


def connection(kind: str, config: dict[str, Any], trial: Trial) -> ResolvedConnection:
    changed = {**config, **trial.config}
    if kind == "postgres":
        changed.pop("base_url", None)
    else:
        endpoint = {"name": "items", "path": "items", **changed.pop("endpoint", {})}
        changed["endpoints"] = [endpoint]
        for name in ("port", "sslmode"):
            changed.pop(name, None)
    return ResolvedConnection(
        id=5,
        name="the connection",
        kind=kind,
        config=changed,
        secret_fields=connector_kinds()[kind].secret_fields,
        egress=trial.policy,
    )


def steps(one: ResolvedConnection, folder: Path) -> Iterator[ResolvedLoad | ResolvedTransform]:
    """Every step that a connection of this kind can have."""
    kind = connector_kinds()[one.kind]
    if kind.is_source:
        yield load(one, duckdb(folder), table("items", "items"))
    if kind.is_destination:
        uploads = files(folder, "csv")
        (folder / "files" / "t.csv").write_text("id\n1\n")
        yield load(uploads, one, table("t.csv", "t"))
    if kind.supports_transform:
        given = [one.config[name] for name in one.secret_fields if name in one.config]
        secret = given[0].replace("'", "''")
        project = {
            "dbt_project.yml": "name: org1\nversion: 1.0.0\nprofile: org1\n",
            "models/one.sql": f"{{% raw %}}select '{secret}'::int as id{{% endraw %}}",
        }
        yield ResolvedTransform(
            run_id=1,
            attempt=1,
            step=TransformStep(key="t", destination_id=one.id, threads=1),
            destination=one,
            project_name="org1",
            files=project,
        )


def on_the_pipe(step: ResolvedLoad | ResolvedTransform, folder: Path) -> str:
    """What an engine child writes about ``step``, to its end."""
    ours, theirs = socket.socketpair()
    received: list[bytes] = []

    def read() -> None:
        while data := ours.recv(65536):
            received.append(data)

    reader = threading.Thread(target=read)
    reader.start()
    with ours, theirs:
        events = EventWriter(theirs, Redactor(secrets_of(step)))
        folder.mkdir()
        events.write(engine_child.finish(step, folder, events))
        theirs.shutdown(socket.SHUT_WR)
        reader.join()
    return b"".join(received).decode()


def everything_said(one: ResolvedConnection, folder: Path) -> dict[str, str]:
    said = {}
    for action in (
        ProbeAction(connection=one),
        PreviewAction(connection=one, table="items", limit=5),
    ):
        work = folder / f"ad_hoc_{action.action}"
        work.mkdir()
        said[action.action] = answer_to(action, work)
    for number, step in enumerate(steps(one, folder)):
        said[f"step {number}"] = on_the_pipe(step, folder / f"work{number}")
    return said


def test_every_kind_with_a_secret_fails_in_every_way() -> None:
    """A new kind needs its ways to fail here before its secret is trusted to the redactor."""
    with_secrets = {name for name, kind in connector_kinds().items() if kind.secret_fields}
    # What is not here is in test_secrets_of_kinds.py, which checks that nothing is left out.
    assert set(WAYS) <= with_secrets
    tried = {value for login in REST_LOGINS.values() for value in login if login[value] == "{}"}
    assert tried == set(connector_kinds()["rest_api"].secret_fields)


@pytest.mark.parametrize(
    ("kind", "login", "way", "shape"), CASES, ids=["-".join(case) for case in CASES]
)
def test_no_failure_gives_the_credential_away(
    kind: str,
    login: str,
    way: str,
    shape: str,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    canary = new_canary(SHAPES[shape])
    monkeypatch.setattr(pinned_session, "BACKOFF_SECONDS", 0.01)
    with WAYS[kind][way](canary, monkeypatch) as trial:
        one = connection(kind, credential(kind, login, canary, request), trial)
        said = everything_said(one, tmp_path)
    assert any('"code"' in text for text in said.values()), said
    for place, text in said.items():
        assert leaks(canary, text) == [], (place, text)


@pytest.mark.parametrize(
    ("kind", "login", "way"),
    [("postgres", "password", "echo"), ("postgres", "password", "exception with everything"),
     ("rest_api", "query", "columns that collide")],
)  # fmt: skip
def test_without_the_redactor_the_credential_is_found(
    kind: str,
    login: str,
    way: str,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """That the test above can fail."""
    monkeypatch.setattr(Redactor, "text", lambda self, text: text)
    canary = new_canary(SHAPES["odd"])
    with WAYS[kind][way](canary, monkeypatch) as trial:
        one = connection(kind, credential(kind, login, canary, request), trial)
        said = everything_said(one, tmp_path)
    assert any(leaks(canary, text) for text in said.values())


@pytest.mark.parametrize("shape", SHAPES)
def test_the_search_sees_every_form_of_a_canary(shape: str) -> None:
    canary = new_canary(SHAPES[shape])
    for form in (*forms_of(canary), canary[: len(canary) // 2 + WINDOW], canary.upper()):
        assert leaks(canary, json.dumps({"message": f"before {form} after"})), form
    assert leaks(canary, json.dumps({"message": new_canary(SHAPES[shape])})) == []


@pytest.mark.parametrize("shape", SHAPES)
def test_no_part_of_a_credential_survives_where_a_message_is_cut(shape: str) -> None:
    canary = new_canary(SHAPES[shape])
    redactor = Redactor([canary])
    for before in range(MAX_FAILURE - 100, MAX_FAILURE + 10):
        failure = redactor.value(failure_of(RuntimeError("x" * before + canary)))
        text = json.dumps(cut(failure.model_dump(), MAX_FAILURE))
        assert len(text) < MAX_FAILURE + 200
        assert leaks(canary, text) == [], before


async def test_nothing_of_the_credential_is_stored(
    database: str,
    postgres_server: PostgresServer,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The run's events and its end, into every table of the control plane, and out again."""
    actor = (await make_tenant()).owner
    canaries = []
    for number, (kind, login, way) in enumerate(
        [("postgres", "password", "echo in every form"), ("rest_api", "query", "401 with an echo"),
         ("rest_api", "basic", "columns that collide")]
    ):  # fmt: skip
        canary = new_canary(SHAPES["odd"])
        canaries.append(canary)
        with WAYS[kind][way](canary, monkeypatch) as trial:
            one = connection(kind, credential(kind, login, canary, request), trial)
            async with get_session(actor.scope) as session:
                await ConnectionService(session, actor).create(f"c{number}", kind, one.config)
            folder = tmp_path / str(number)
            folder.mkdir()
            lines = on_the_pipe(next(steps(one, folder)), folder / "work").splitlines()
        events = [run_event.validate_json(line) for line in lines]
        pipeline = await make_pipeline(actor, f"orders{number}")
        async with get_session(actor.scope) as session:
            run = await RunService(session, actor).trigger(pipeline.id, f"key{number}")
        claim = {"org_id": actor.org_id, "pipeline_id": pipeline.id, "run_id": run.id}
        async with get_session(actor.scope) as session:
            await claim_run(session, flow_run_id=str(uuid.uuid4()), **claim)
        async with get_session(actor.scope) as session:
            recorder = RunRecorder(session, run.id, 1)
            await recorder.record(events)
            assert isinstance(events[-1], StepFinished)
            await recorder.finish(RunFinish(state=RunState.FAILED, failure=events[-1].failure))
    with superuser(postgres_server.admin_url, database) as cursor:
        cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        stored = {}
        for (table_name,) in cursor.fetchall():
            cursor.execute(f'SELECT row_to_json(t)::text FROM "{table_name}" t')
            stored[table_name] = "\n".join(text for (text,) in cursor.fetchall())
    sizes = {table_name: len(text) for table_name, text in stored.items()}
    assert "authentication_failed" in stored["runs"], sizes
    assert MASK in stored["run_logs"]
    for canary in canaries:
        for table_name, text in stored.items():
            assert leaks(canary, text) == [], table_name
