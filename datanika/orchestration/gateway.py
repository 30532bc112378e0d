"""The one door from the control plane to Prefect.

    async with PrefectGateway() as prefect:
        deployment_id = await prefect.deploy(request)
        flow_run_id = await prefect.submit(deployment_id, run.id)

Prefect is imported on entering, not with this module: it takes seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
from collections.abc import AsyncIterator, Sequence
from itertools import batched
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple, Self
from uuid import UUID

from datanika.config import settings
from datanika.contracts.base import Contract
from datanika.contracts.nudge import nudge
from datanika.errors import ConfigError, InvalidInput, NotFound, Unavailable
from datanika.orchestration.deployments import (
    MAINTENANCE,
    TENANT_FLOW,
    DeploymentRequest,
    FlowDeployment,
    pipeline_name,
)

if TYPE_CHECKING:
    from prefect.client.orchestration import PrefectClient
    from prefect.client.schemas.objects import State
    from prefect.client.schemas.responses import DeploymentResponse

PAGE = 200
"""Prefect's limit of flow runs per query."""
RETRIES = 1
"""A caller waits: the outbox and the reconciler retry, this client hardly does."""


def preload() -> None:
    """Import Prefect's client, which takes seconds: in a thread, before somebody waits for it."""
    import prefect.client.orchestration  # noqa: F401


async def prefect_answers() -> None:
    """Ask Prefect's server whether it lives, without its client. Raises what httpx raises."""
    import httpx

    secret = settings.prefect_api_auth_string
    auth = None
    if secret is not None:
        user, _, password = secret.get_secret_value().partition(":")
        auth = httpx.BasicAuth(user, password)
    async with httpx.AsyncClient(auth=auth, trust_env=False) as client:
        answer = await client.get(f"{settings.require('prefect_api_url')}/health")
        answer.raise_for_status()


class FlowRunState(Contract):
    """Prefect's view of one flow run. ``type`` is Prefect's state type in upper case."""

    name: str
    type: str
    is_final: bool
    message: str | None = None


class WorkerState(Contract):
    """A worker as Prefect knows it. ``queue`` is its work pool."""

    name: str
    queue: str
    is_online: bool
    last_seen: dt.datetime | None


class _Known(NamedTuple):
    id: str
    version: str | None
    work_pool: str | None

    @classmethod
    def of(cls, found: DeploymentResponse) -> _Known:
        return cls(str(found.id), found.version, found.work_pool_name)


class PrefectGateway:
    """Prefect's API with our words. Every method raises :class:`Unavailable` when it is down."""

    def __init__(self, api_url: str | None = None, auth_string: str | None = None) -> None:
        secret = settings.prefect_api_auth_string
        self._api_url = api_url or settings.prefect_api_url
        self._auth_string = auth_string or (secret.get_secret_value() if secret else None)
        self._exit = contextlib.AsyncExitStack()
        self._opened: PrefectClient | None = None
        self._settings: Any = None
        self._flow_ids: dict[str, UUID] = {}
        self._asking_flow = asyncio.Lock()
        self._known: dict[str, _Known | None] = {}
        self.requests = 0
        """How many requests this gateway has sent."""

    async def __aenter__(self) -> Self:
        from prefect.client.orchestration import PrefectClient
        from prefect.settings import get_current_settings

        if not self._api_url:
            raise ConfigError(
                "PREFECT_API_URL is not set.",
                code="setting_missing",
                hint="Start `datanika up` (it sets everything), or set PREFECT_API_URL in .env.",
            )
        self._settings = get_current_settings().copy_with_update(
            updates={
                "client.max_retries": RETRIES,
                "client.csrf_support_enabled": False,
                "client.server_version_check_enabled": False,
            }
        )
        async with self._client_settings():
            client = PrefectClient(
                self._api_url,
                auth_string=self._auth_string,
                httpx_settings={"timeout": 15.0, "event_hooks": {"request": [self._count]}},
            )
            self._opened = await self._exit.enter_async_context(client)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._exit.aclose()

    async def _count(self, request: object) -> None:
        self.requests += 1

    async def ensure_work_pool(self) -> None:
        """Create the work pool of our worker type unless it exists."""
        from prefect.client.schemas.actions import WorkPoolCreate
        from prefect.exceptions import ObjectAlreadyExists

        async with self._call() as client:
            with contextlib.suppress(ObjectAlreadyExists):
                await client.create_work_pool(
                    WorkPoolCreate(name=settings.work_pool, type="datanika")
                )

    async def workers(self, most: int = 200) -> list[WorkerState]:
        """The workers of our work pool, those that are online first."""
        async with self._call() as client:
            found = await client.read_workers_for_work_pool(settings.work_pool, limit=most)
        rows = [
            WorkerState(
                name=one.name,
                queue=settings.work_pool,
                is_online=one.status.value == "ONLINE",
                last_seen=one.last_heartbeat_time,
            )
            for one in found
        ]
        return sorted(rows, key=lambda one: (not one.is_online, one.name))

    async def deploy_maintenance(self) -> None:
        """The platform's own deployments: reconcile every minute, retention once a day."""
        for deployment in MAINTENANCE:
            await self.put_deployment(deployment)

    async def deploy(self, request: DeploymentRequest) -> str:
        """Create or update a pipeline's deployment; its id. Unchanged ones are left alone."""
        return await self.put_deployment(request.as_deployment())

    async def learn_deployments(self, pipeline_ids: Sequence[int]) -> None:
        """Look up what Prefect has of many pipelines, so that each :meth:`deploy` need not ask."""
        from prefect.client.schemas.filters import (
            DeploymentFilter,
            DeploymentFilterName,
            FlowFilter,
            FlowFilterName,
        )

        names = [pipeline_name(pipeline_id) for pipeline_id in pipeline_ids]
        async with self._call() as client:
            for some in batched(names, PAGE):
                found = await client.read_deployments(
                    flow_filter=FlowFilter(name=FlowFilterName(any_=[TENANT_FLOW])),
                    deployment_filter=DeploymentFilter(name=DeploymentFilterName(any_=list(some))),
                    limit=PAGE,
                )
                self._known |= dict.fromkeys(f"{TENANT_FLOW}/{name}" for name in some)
                for one in found:
                    self._known[f"{TENANT_FLOW}/{one.name}"] = _Known.of(one)

    async def _flow_id(self, client: PrefectClient, name: str) -> UUID:
        """Of the flow ``name``, asked for once however many deployments are under way."""
        async with self._asking_flow:
            if name not in self._flow_ids:
                self._flow_ids[name] = await client.create_flow_from_name(name)
            return self._flow_ids[name]

    async def put_deployment(self, wanted: FlowDeployment) -> str:
        """Make Prefect have ``wanted``. Its ``version`` is a hash of everything in it."""
        async with self._call() as client:
            known = await self._known_deployment(client, f"{wanted.flow_name}/{wanted.name}")
            if known is not None and known[1:] == (wanted.version, settings.work_pool):
                return known.id
            flow_id = await self._flow_id(client, wanted.flow_name)
            deployment_id = await client.create_deployment(
                flow_id=flow_id,
                name=wanted.name,
                version=wanted.version,
                entrypoint=wanted.entrypoint,
                parameters=dict(wanted.parameters),
                tags=list(wanted.tags),
                schedules=wanted.prefect_schedules(),
                paused=wanted.paused,
                work_pool_name=settings.work_pool,
                enforce_parameter_schema=False,
            )
        return str(deployment_id)

    async def _known_deployment(self, client: PrefectClient, path: str) -> _Known | None:
        from prefect.exceptions import ObjectNotFound

        if path in self._known:
            # Once: it is about to be another one.
            return self._known.pop(path)
        try:
            found = await client.read_deployment_by_name(path)
        except ObjectNotFound:
            return None
        return _Known.of(found)

    async def delete_deployment(self, deployment_id: str) -> None:
        """Delete it and what it has scheduled; nothing happens when it is gone already."""
        from prefect.exceptions import ObjectNotFound

        async with self._call() as client:
            with contextlib.suppress(ObjectNotFound):
                await client.delete_deployment(UUID(deployment_id))

    async def submit(self, deployment_id: str, run_id: int, attempt: int = 0) -> str:
        """Create the flow run of a run; its id. The same run and attempt get the same one.

        ``attempt`` counts the flow runs that died: Prefect never runs a crashed one again.

        :raises NotFound: the deployment is gone; deploy the pipeline first.
        """
        from httpx import HTTPStatusError
        from prefect.exceptions import ObjectNotFound

        # Unique in Prefect for the whole flow, as run ids are in the platform.
        key = f"run-{run_id}" if attempt == 0 else f"run-{run_id}-{attempt}"
        async with self._call() as client:
            try:
                flow_run = await client.create_flow_run_from_deployment(
                    UUID(deployment_id),
                    parameters={"run_id": run_id},
                    idempotency_key=key,
                    name=key,
                )
            except (ObjectNotFound, HTTPStatusError) as error:
                if isinstance(error, HTTPStatusError) and error.response.status_code != 404:
                    raise
                raise NotFound(
                    "Prefect does not know this deployment.", code="deployment_not_found"
                ) from None
        nudge(settings.home, settings.work_pool)
        return str(flow_run.id)

    async def cancel(self, flow_run_id: str) -> None:
        """Ask Prefect to cancel; one that has not started is cancelled at once."""
        from prefect.exceptions import ObjectNotFound
        from prefect.states import Cancelled, Cancelling

        async with self._call() as client:
            try:
                flow_run = await client.read_flow_run(UUID(flow_run_id))
                if flow_run.state is None or flow_run.state.is_final():
                    return
                scheduled = flow_run.state.is_scheduled()
                wanted: State[Any] = Cancelled() if scheduled else Cancelling()
                await client.set_flow_run_state(flow_run.id, wanted)
            except ObjectNotFound:
                return

    async def read_states(self, flow_run_ids: Sequence[str]) -> dict[str, FlowRunState]:
        """The states of these flow runs; one that Prefect does not know is left out."""
        from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId

        found: dict[str, FlowRunState] = {}
        async with self._call() as client:
            for start in range(0, len(flow_run_ids), PAGE):
                ids = [UUID(flow_run_id) for flow_run_id in flow_run_ids[start : start + PAGE]]
                flow_runs = await client.read_flow_runs(
                    flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=ids)), limit=PAGE
                )
                for flow_run in flow_runs:
                    state: State[Any] | None = flow_run.state
                    if state is not None:
                        found[str(flow_run.id)] = FlowRunState(
                            name=state.name or state.type.value.title(),
                            type=state.type.value,
                            is_final=state.is_final(),
                            message=state.message,
                        )
        return found

    @contextlib.asynccontextmanager
    async def _call(self) -> AsyncIterator[PrefectClient]:
        """The client, with its failures in our words."""
        if self._opened is None:
            raise RuntimeError("Use the gateway as an async context manager.")
        async with self._client_settings():
            yield self._opened

    @contextlib.asynccontextmanager
    async def _client_settings(self) -> AsyncIterator[None]:
        import httpx
        from prefect.context import SettingsContext, get_settings_context

        context = get_settings_context()
        try:
            with SettingsContext(profile=context.profile, settings=self._settings):
                yield
        except httpx.HTTPStatusError as error:
            status = error.response.status_code
            if status >= 500 or status in (401, 403, 408, 429):
                raise _unavailable(f"answers {status}") from None
            raise InvalidInput(
                f"Prefect refused the request with {status}.", code="prefect_refused"
            ) from None
        except (httpx.TransportError, TimeoutError, RuntimeError) as error:
            if isinstance(error, RuntimeError) and not _is_connect_error(error):
                raise
            raise _unavailable("does not answer") from None


def _is_connect_error(error: RuntimeError) -> bool:
    """Prefect's client wraps a failed first connection into a RuntimeError."""
    return "Failed to reach API" in str(error)


def _unavailable(reason: str) -> Unavailable:
    return Unavailable(
        f"Prefect {reason}.",
        code="prefect_unavailable",
        hint="Runs are accepted and start when Prefect is back.",
    )


__all__ = [
    "TENANT_FLOW",
    "DeploymentRequest",
    "FlowRunState",
    "PrefectGateway",
    "preload",
    "prefect_answers",
]
