"""Programs at work through the client, against the application on a real port."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable

import httpx
import pytest

from datanika.client import DatanikaClient
from datanika.contracts.api import (
    ConnectionIn,
    ConnectionPatch,
    MemberPatch,
    OrganizationPatch,
    PipelineIn,
    PipelinePatch,
)
from datanika.contracts.enums import Role, RunState
from datanika.contracts.events import LogLine, RunFinish, StepStarted
from datanika.contracts.spec import LoadStep, PipelineSpec, TableSpec
from datanika.errors import (
    AuthenticationError,
    Conflict,
    InvalidInput,
    NotFound,
    PermissionDenied,
    PreconditionFailed,
    PreconditionRequired,
)
from tests.support.application import application
from tests.support.pipelines import make_pipeline
from tests.support.serving import serving
from tests.support.tenants import Tenant, access_token, add_member, make_tenant
from tests.support.worker import work

Story = Callable[[DatanikaClient], None]


@pytest.fixture
async def tenant(database: str) -> Tenant:
    return await make_tenant()


async def told(tenant: Tenant, story: Story) -> None:
    """Let the tenant's owner do ``story``, in a thread: the client waits for its answers."""

    def tell(url: str) -> None:
        with DatanikaClient(url, access_token(tenant.owner)) as client:
            story(client)

    async with serving(application()) as url:
        await asyncio.to_thread(tell, url)


def orders(client: DatanikaClient) -> PipelineSpec:
    source = ConnectionIn(name="shop", kind="files", config={"format": "csv"})
    target = ConnectionIn(name="warehouse", kind="duckdb", config={"path": "w.duckdb"})
    load = LoadStep(
        key="load",
        source_id=client.connections.create(source).id,
        destination_id=client.connections.create(target).id,
        target_schema="raw",
        tables=(TableSpec(name="orders.csv", target="orders"),),
    )
    return PipelineSpec(steps=(load,))


async def test_of_two_editors_the_later_learns_that_somebody_was_faster(tenant: Tenant) -> None:
    def story(ada: DatanikaClient) -> None:
        made = ada.pipelines.create(PipelineIn(name="orders", spec=orders(ada)))
        [listed] = ada.pipelines.list(name="orders")
        with DatanikaClient(ada.url, access_token(tenant.owner)) as grace:
            ada.pipelines.update(listed, PipelinePatch(description="Ada's"))
            with pytest.raises(PreconditionFailed) as late:
                grace.pipelines.update(made, PipelinePatch(name="sales"))
            assert late.value.code == "stale_revision"
            with pytest.raises(PreconditionFailed):
                grace.pipelines.update(made.id, PipelinePatch(name="sales"), revision=made.revision)
            present = grace.pipelines.get(made.id)
            assert (present.name, present.description) == ("orders", "Ada's")
            changed = grace.pipelines.update(present, PipelinePatch(name="sales"))
        assert (changed.description, changed.spec) == ("Ada's", made.spec), "the rest stays"
        forced = ada.pipelines.update(made, PipelinePatch(description=""), overwrite=True)
        assert (forced.name, forced.description) == ("sales", "")

    await told(tenant, story)


async def test_everything_with_a_revision_is_guarded_by_it(tenant: Tenant) -> None:
    editor = await add_member(tenant.org_id, Role.EDITOR)

    def story(client: DatanikaClient) -> None:
        member = client.members.get(editor.user_id)
        client.members.update(member, MemberPatch(role=Role.VIEWER))
        with pytest.raises(PreconditionFailed):
            client.members.update(member, MemberPatch(role=Role.ADMIN))
        organization = client.organizations.current()
        client.organizations.update(organization, OrganizationPatch(max_connections=3))
        with pytest.raises(PreconditionFailed):
            client.organizations.delete(organization)
        renamed = client.organizations.update(
            client.organizations.current(), OrganizationPatch(name="Renamed")
        )
        assert renamed.max_connections == 3, "what is not given stays"

    await told(tenant, story)


def test_a_change_of_nothing_that_was_read_is_not_sent() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        raise AssertionError(request.url)

    with (
        DatanikaClient("http://x", transport=httpx.MockTransport(answer)) as client,
        pytest.raises(PreconditionRequired, match="which state"),
    ):
        client.connections.update(7, ConnectionPatch(name="new"))


async def test_a_list_is_read_to_its_end(tenant: Tenant) -> None:
    def story(client: DatanikaClient) -> None:
        names = [f"files {number}" for number in range(7)]
        for name in names:
            client.connections.create(
                ConnectionIn(name=name, kind="files", config={"format": "csv"})
            )
        listed = client.connections.list(sort="-name", page_size=3)
        assert [one.name for one in listed] == names[::-1]
        assert [one.name for one in client.connections.list(search="S 4", kind="files")] == [
            "files 4"
        ]
        entries = client.audit.list(action="connection.created", page_size=2)
        assert len(list(entries)) == 7
        exported = b"".join(client.audit.export(action="connection.created"))
        assert exported.count(b"\n") == 7

    await told(tenant, story)


async def test_a_key_does_its_work_once_and_a_copy_keeps_its_secret(tenant: Tenant) -> None:
    def story(client: DatanikaClient) -> None:
        config = {"host": "db.example.com", "database": "d", "user": "u", "password": "p-4711"}
        body = ConnectionIn(name="dwh", kind="postgres", config=config)
        made = [client.connections.create(body, idempotency_key="a") for _ in range(2)]
        assert made[0] == made[1]
        with pytest.raises(InvalidInput):
            client.connections.create(body, idempotency_key="")
        assert made[0].secrets == ["password"] and "p-4711" not in made[0].model_dump_json()
        copy = client.connections.copy(made[0].id, "dwh (copy)")
        assert copy.secrets == ["password"]
        moved = ConnectionPatch(config={**config, "host": "other.example.com"})
        assert client.connections.update(copy, moved).config["host"] == "other.example.com"
        client.connections.delete(copy.id)
        assert [one.id for one in client.connections.list()] == [made[0].id]

    await told(tenant, story)


async def test_a_run_is_waited_for_and_read(tenant: Tenant) -> None:
    pipeline = await make_pipeline(tenant.owner)
    events = [
        StepStarted(step_key="load", attempt=1),
        *(LogLine(step_key="load", message=f"line {number}") for number in range(5)),
    ]
    end = RunFinish(state=RunState.SUCCEEDED)
    worker = asyncio.create_task(work(tenant.org_id, pipeline.id, end, events))

    def story(client: DatanikaClient) -> None:
        run = client.pipelines.run(pipeline.id, wait=60)
        assert run.state is RunState.SUCCEEDED
        assert client.pipelines.find("orders").id == run.pipeline_id
        assert [step.step_key for step in client.runs.steps(run.id)] == ["load", "transform"]
        lines = list(client.runs.logs(run.id, page_size=2))
        assert [line.message for line in lines] == [f"line {number}" for number in range(5)]
        assert list(client.runs.logs(run.id, after=lines[-2].id)) == lines[-1:]

    await told(tenant, story)
    await worker


async def test_what_the_server_refuses_is_raised_by_its_kind(tenant: Tenant) -> None:
    viewer = await add_member(tenant.org_id, Role.VIEWER)

    def story(client: DatanikaClient) -> None:
        files = ConnectionIn(name="shop", kind="files", config={"format": "csv"})
        made = client.connections.create(files)
        with pytest.raises(Conflict) as taken:
            client.connections.create(files)
        assert (taken.value.code, taken.value.field) == ("name_taken", "name")
        with pytest.raises(InvalidInput) as wrong:
            client.connections.create(ConnectionIn(name="x", kind="no such kind", config={}))
        assert wrong.value.field == "kind" and wrong.value.context["request_id"]
        with pytest.raises(NotFound):
            client.runs.get(made.id + 1000)
        with (
            DatanikaClient(client.url, access_token(viewer)) as other,
            pytest.raises(PermissionDenied),
        ):
            other.connections.delete(made.id)
        with DatanikaClient(client.url) as stranger, pytest.raises(AuthenticationError):
            stranger.auth.me()

    await told(tenant, story)


async def test_a_person_logs_in_and_out(database: str) -> None:
    password = "correct horse battery staple"

    def story(url: str) -> None:
        with DatanikaClient(url) as client:
            client.auth.register("lin@example.com", password, "Lin", "Lin's")
            first = client.auth.login("lin@example.com", password)
            assert client.auth.me().organization == "Lin's"
            second = client.auth.refresh(first.refresh_token)
            [session] = client.account.sessions()
            assert session.is_current
            client.auth.logout(second.refresh_token)
            with pytest.raises(AuthenticationError):
                client.auth.me()

    async with serving(application()) as url:
        await asyncio.to_thread(story, url)


def test_importing_the_client_imports_no_server() -> None:
    code = "import sys, datanika.client; print(*sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "httpx" in loaded
    assert loaded.isdisjoint({"sqlalchemy", "prefect", "dlt", "dbt", "fastapi", "reflex"})
