"""``datanika run``, ``logs`` and ``plan`` against the application on a real port."""

from __future__ import annotations

import asyncio
import os
import stat
import subprocess
import sys
import zipfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from datanika.client import DatanikaClient, save_credentials
from datanika.contracts.api import ApiKeyIn, ConnectionIn
from datanika.contracts.enums import RunState, StepState
from datanika.contracts.events import Failure, LogLine, NodeFinished, RunFinish, StepStarted
from datanika.db import get_session
from datanika.errors import Conflict, NotFound, PermissionDenied, Unavailable
from datanika.services.actor import Actor
from datanika.services.run_service import RunService
from tests.support.application import application
from tests.support.net import free_port
from tests.support.pipelines import MadePipeline, make_pipeline
from tests.support.serving import serving
from tests.support.tenants import access_token, make_tenant
from tests.support.worker import work


@dataclass(frozen=True)
class Platform:
    url: str
    actor: Actor
    pipeline: MadePipeline
    home: Path

    @property
    def token(self) -> str:
        return access_token(self.actor)

    async def command(self, *arguments: str, url: str | None = None) -> tuple[int, str, str]:
        """Exit code, stdout and stderr of ``datanika …``."""
        environment = {
            **os.environ,
            "DATANIKA_HOME": str(self.home),
            "DATANIKA_URL": url or self.url,
            "DATANIKA_TOKEN": self.token,
        }
        done = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-c", "from datanika.cli.main import main; main()", *arguments],
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        return done.returncode, done.stdout, done.stderr


@pytest.fixture
async def platform_url(database: str) -> AsyncIterator[str]:
    async with serving(application()) as url:
        yield url


@pytest.fixture
async def platform_of_one(platform_url: str, tmp_path: Path) -> Platform:
    actor = (await make_tenant()).owner
    return Platform(platform_url, actor, await make_pipeline(actor), tmp_path)


async def play(platform: Platform, end: RunFinish) -> None:
    """Be the worker of the run that the command is about to trigger."""
    events = [
        StepStarted(step_key="load", attempt=1),
        LogLine(step_key="load", message="reading orders.csv"),
        NodeFinished(
            step_key="load",
            node="raw.orders",
            name="orders",
            resource_type="table",
            state=StepState.SUCCEEDED,
            rows=1234,
            duration_seconds=0.5,
            relation="raw.orders",
        ),
    ]
    await work(platform.actor.org_id, platform.pipeline.id, end, events)


async def test_run_waits_shows_the_steps_and_exits_with_the_outcome(
    platform_of_one: Platform,
) -> None:
    worker = asyncio.create_task(play(platform_of_one, RunFinish(state=RunState.SUCCEEDED)))
    code, out, err = await platform_of_one.command("run", "orders")
    await worker
    assert code == 0, err
    assert "raw.orders  (1,234 rows, 0.5 s)" in out
    assert "succeeded" in out
    assert "1,234 rows loaded" in out


async def test_a_failed_run_exits_with_1_and_its_reason(platform_of_one: Platform) -> None:
    failure = Failure(code="source_unreachable", message="No such host.", hint="Check the host.")
    end = RunFinish(state=RunState.FAILED, failure=failure)
    worker = asyncio.create_task(play(platform_of_one, end))
    code, out, _ = await platform_of_one.command("run", str(platform_of_one.pipeline.id))
    await worker
    assert code == 1
    assert "[source_unreachable] No such host.\nCheck the host." in out


async def test_the_same_key_does_not_run_twice(platform_of_one: Platform) -> None:
    for _ in range(2):
        code, _, err = await platform_of_one.command("run", "orders", "--key", "x", "--no-wait")
        assert code == 0, err
    async with get_session(platform_of_one.actor.scope) as session:
        assert len((await RunService(session, platform_of_one.actor).list()).rows) == 1


async def test_logs_follow_a_run_to_its_end(platform_of_one: Platform) -> None:
    await platform_of_one.command("run", "orders", "--no-wait")
    async with get_session(platform_of_one.actor.scope) as session:
        run = (await RunService(session, platform_of_one.actor).list()).rows[0]
    worker = asyncio.create_task(play(platform_of_one, RunFinish(state=RunState.SUCCEEDED)))
    code, out, err = await platform_of_one.command("logs", str(run.id), "--follow")
    await worker
    assert code == 0, err
    assert out.endswith("load: reading orders.csv\n")


async def test_plan_explains_in_words_and_as_a_graph(platform_of_one: Platform) -> None:
    code, text, _ = await platform_of_one.command("plan", "orders")
    _, graph, _ = await platform_of_one.command("plan", "orders", "--mermaid")
    assert code == 0
    assert "Stage 1" in text
    assert "orders <- orders.csv" in text
    assert graph.startswith(("graph", "flowchart"))


async def test_what_goes_wrong_is_said_in_a_sentence(platform_of_one: Platform) -> None:
    code, _, err = await platform_of_one.command("plan", "no such pipeline")
    assert (code, err) == (1, "There is no pipeline 'no such pipeline'. [pipeline_not_found]\n")
    away = f"http://127.0.0.1:{free_port()}"
    code, _, err = await platform_of_one.command("plan", "orders", url=away)
    assert code == 1
    assert "does not answer. [platform_unreachable]\nIs `datanika up` running?" in err


async def test_the_client_raises_what_the_server_says(platform_of_one: Platform) -> None:
    def ask() -> None:
        with DatanikaClient(platform_of_one.url, platform_of_one.token) as client:
            with pytest.raises(NotFound):
                client.runs.get(999_999)
            with pytest.raises(Conflict) as taken:
                client.connections.create(
                    ConnectionIn(name="orders files", kind="files", config={"format": "csv"})
                )
            assert (taken.value.code, taken.value.field) == ("name_taken", "name")
            key = client.api_keys.create(ApiKeyIn(name="reader", scopes=["run:read"]))
            assert [item.name for item in client.connections.list()] == [
                "orders files",
                "orders warehouse",
            ]
        with DatanikaClient(platform_of_one.url, key.key) as reader:
            with pytest.raises(PermissionDenied):
                reader.pipelines.run(platform_of_one.pipeline.id)
            assert list(reader.runs.list()) == []
        with (
            DatanikaClient(f"http://127.0.0.1:{free_port()}") as lost,
            pytest.raises(Unavailable),
        ):
            lost.runs.get(1)

    await asyncio.to_thread(ask)


def test_saved_credentials_are_for_their_owner_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATANIKA_HOME", str(tmp_path))
    monkeypatch.delenv("DATANIKA_URL", raising=False)
    monkeypatch.delenv("DATANIKA_TOKEN", raising=False)
    save_credentials(tmp_path, "http://127.0.0.1:1", "dnk_x")
    assert stat.S_IMODE((tmp_path / "cli.json").stat().st_mode) == 0o600
    with DatanikaClient.from_environment() as client:
        assert client.url == "http://127.0.0.1:1"


async def test_a_folder_is_imported_after_a_report_and_exported_again(
    platform_of_one: Platform, tmp_path: Path
) -> None:
    project = tmp_path / "shop"
    (project / "models").mkdir(parents=True)
    (project / "dbt_project.yml").write_text("name: shop\nmodels: {+materialized: table}\n")
    (project / "models" / "base.sql").write_text("select 1 as a")
    (project / "models" / "linked.sql").symlink_to(platform_of_one.home / "credentials.json")
    (project / "models" / "bad.sql").write_text("select '{{ env_var('HOME') }}'")
    there = ("--destination", "orders warehouse")
    code, shown, _ = await platform_of_one.command("import-project", str(project), *there)
    assert code == 0 and "create    model     base  (models/base.sql)" in shown
    assert "refused   models/bad.sql:1: " in shown and "[guard_refused]" in shown
    assert "Nothing was written" in shown and "linked" not in shown
    code, _, said = await platform_of_one.command("import-project", str(project), *there, "--apply")
    assert code == 1 and "[import_refused]" in said
    code, shown, said = await platform_of_one.command(
        "import-project", str(project), *there, "--apply", "--accept-refused"
    )
    assert code == 0 and "2 transformations are imported." in shown, said
    zipped = tmp_path / "out.zip"
    code, shown, said = await platform_of_one.command(
        "export-project", str(zipped), *there, "--name", "shop"
    )
    assert code == 0, said
    with zipfile.ZipFile(zipped) as archive:
        assert archive.read("models/base.sql") == b"select 1 as a"
        assert "models/stg_orders.sql" in archive.namelist()
