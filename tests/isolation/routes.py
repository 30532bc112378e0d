"""Every route of the application: how to ask it something valid, and who must get an answer.

What is written here is written by hand, from design.md's roles and not from the routes: a route
whose ``needs`` says something else fails. A new route needs a line in :data:`ROUTES`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import httpx
from fastapi import FastAPI
from fastapi.routing import APIRoute

from datanika.api.transaction import PERMISSION
from datanika.contracts.enums import Role
from tests.isolation.callers import client
from tests.isolation.world import PASSWORD, World

Least = Role | Literal["anyone", "member", "person", "worker", "run", "scraper"]
"""``member``: every member and every key, about themselves. ``person``: the same without keys.
``worker`` and ``run``: the tokens of
the internal API; ``scraper``: the operator's monitoring."""

VIEWER, EDITOR, ADMIN, OWNER = Role.VIEWER, Role.EDITOR, Role.ADMIN, Role.OWNER


@dataclass(frozen=True)
class Entry:
    """A valid request to a route. Path parameters are attributes of the world, of these names or
    of the ones that ``ids`` gives; Changes are sent with ``If-Match: *``."""

    least: Least
    success: int = 200
    body: Callable[[World], Any] | None = None
    query: Mapping[str, Any] = field(default_factory=dict)
    ids: Mapping[str, str] = field(default_factory=dict)
    foreign: int | None = None
    """What the owner of another organisation gets: 404 where the path has an id, else success."""
    keys: bool = True
    """Whether API keys may use it; they get 403 otherwise."""
    owner: int | None = None
    """What owners get where it is something else than the others."""
    nowhere: int | None = None
    """What who is in no organisation gets where it is something else than the others."""
    own_rows: bool = False
    """Whether everybody finds rows here: their own."""

    def path(self, template: str, world: World) -> str:
        """The path with the world's ids in it."""
        for name in _parameters(template):
            value = getattr(world, self.ids.get(name, name))
            template = template.replace(f"{{{name}}}", str(value))
        return template


def _parameters(template: str) -> list[str]:
    return [part.partition("}")[0] for part in template.split("{")[1:]]


@dataclass(frozen=True)
class Route:
    """A method and a path of the application, and what the code says it needs."""

    method: str
    path: str
    permission: str | None

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


async def ask(world: World, route: Route, entry: Entry, token: str | None) -> httpx.Response:
    """The entry's request, sent with ``token``."""
    async with client(token) as http:
        return await http.request(
            route.method,
            entry.path(route.path, world),
            params=dict(entry.query),
            json=entry.body(world) if entry.body else None,
            headers={"If-Match": "*"} if route.method in ("PATCH", "PUT", "DELETE") else {},
        )


def routes_of(app: FastAPI) -> list[Route]:
    """Every route, internal ones too; without the two that answer 404 for the rest."""
    return sorted(_walk(app.routes), key=str)


def _walk(routes: Any) -> Iterator[Route]:
    for route in routes:
        if hasattr(route, "effective_candidates"):
            yield from _walk(route.effective_candidates())
            continue
        original = getattr(route, "original_route", route)
        if not inspect.isroutine(original.endpoint):
            continue  # What answers 404 and 405 for the rest.
        extra = (original.openapi_extra or {}) if isinstance(original, APIRoute) else {}
        for method in sorted((original.methods or set()) - {"HEAD"}):
            yield Route(method, route.path, extra.get(PERMISSION))


def _connection(_: World) -> Any:
    return {"name": "new", "kind": "files", "config": {"format": "csv"}}


def _pipeline(world: World) -> Any:
    return {"name": "new", "spec": world.spec.model_dump(mode="json")}


def _transformation(world: World) -> Any:
    return {"name": "new", "destination_id": world.destination_id, "sql": "select 1 as id"}


def _channel(_: World) -> Any:
    config = {"url": "https://hooks.example.com/"}
    return {"name": "new", "kind": "webhook", "events": ["run.failed"], "config": config}


def _login(world: World) -> Any:
    return {"email": world.owner.email, "password": PASSWORD}


def _refresh(world: World) -> Any:
    return {"refresh_token": world.refresh_token}


def _body(**content: Any) -> Callable[[World], Any]:
    return lambda _: content


_INCREMENTAL = {"pipeline_id": "incremental_id"}
_REGISTER = _body(email="new@example.org", password=PASSWORD, name="N", organization_name="New")
_ADDRESS = _body(email="new@example.org")
_NO_PROVIDER = {"provider": "nothing"}

API: dict[str, Entry] = {
    "GET openapi.json": Entry("anyone"),
    # auth
    "POST auth/register": Entry("anyone", 202, _REGISTER),
    "POST auth/email-confirmation": Entry("anyone", 202, _ADDRESS),
    "POST auth/email-confirmation/confirm": Entry("anyone", 422, _body(token="unknown")),
    "POST auth/password-reset": Entry("anyone", 202, _ADDRESS),
    "POST auth/password-reset/confirm": Entry(
        "anyone", 422, _body(token="unknown", password=PASSWORD)
    ),
    "GET auth/providers": Entry("anyone"),
    "GET auth/oidc/{provider}/start": Entry("anyone", 404, ids=_NO_PROVIDER),
    "GET auth/oidc/{provider}/callback": Entry("anyone", 404, ids=_NO_PROVIDER),
    "POST auth/login": Entry("anyone", 200, _login),
    "POST auth/refresh": Entry("anyone", 200, _refresh),
    "POST auth/logout": Entry("anyone", 204, _refresh),
    "POST auth/session": Entry("anyone", 200, _login),
    "DELETE auth/session": Entry("anyone", 204),
    "GET auth/me": Entry("member"),
    "POST auth/switch": Entry("anyone", 200, lambda w: _refresh(w) | {"org_id": w.org_id}),
    # Only with a browser's cookie.
    "PUT auth/session": Entry("anyone", 401, _body(org_id=1)),
    # organisations
    "GET organizations": Entry("member", own_rows=True),
    "POST organizations": Entry("member", 201, _body(name="Another"), keys=False),
    "GET organization": Entry(VIEWER),
    "PATCH organization": Entry(OWNER, 200, _body(name="Renamed")),
    "DELETE organization": Entry(OWNER, 204),
    "POST organization/leave": Entry("member", 204, keys=False, owner=403, nowhere=404),
    "POST organization/transfer": Entry(
        OWNER, 200, lambda w: {"user_id": w.editor_id}, keys=False, foreign=404
    ),
    "GET usage": Entry(VIEWER, own_rows=True),
    "GET members": Entry(VIEWER, own_rows=True),
    "GET members/{user_id}": Entry(VIEWER, ids={"user_id": "editor_id"}),
    "PATCH members/{user_id}": Entry(
        ADMIN, 200, _body(role="viewer"), ids={"user_id": "editor_id"}
    ),
    "DELETE members/{user_id}": Entry(ADMIN, 204, ids={"user_id": "editor_id"}),
    "GET invitations": Entry(ADMIN),
    "POST invitations": Entry(
        ADMIN, 201, _body(email="grace@example.org", role="editor"), keys=False
    ),
    "POST invitations/{invitation_id}/resend": Entry(ADMIN, 200, keys=False),
    "DELETE invitations/{invitation_id}": Entry(ADMIN, 204),
    # Nobody of the world was sent one.
    "POST invitations/accept": Entry("member", 422, _body(token="nonsense"), keys=False),
    "POST invitations/decline": Entry("member", 422, _body(token="nonsense"), keys=False),
    "POST invitations/register": Entry(
        "anyone", 201, lambda w: {"token": w.mailed_token, "name": "N", "password": PASSWORD}
    ),
    # account: what these do for the right person is in tests/test_api/test_account.py
    "GET account": Entry("person"),
    "PATCH account": Entry("person", 200, _body(name="New")),
    "POST account/password": Entry(
        "person", 204, _body(current_password=PASSWORD, new_password="another horse")
    ),
    "POST account/email": Entry("person", 202, _body(email="new@example.org", password=PASSWORD)),
    "POST account/erase": Entry("person", 204, _body(password=PASSWORD), owner=409, foreign=204),
    "GET account/sessions": Entry("person"),
    "DELETE account/sessions": Entry("person"),
    "DELETE account/sessions/{session_id}": Entry("person", 404, ids={"session_id": "nothing"}),
    "POST account/totp": Entry("person", 200, _body(password=PASSWORD)),
    "POST account/totp/enable": Entry("person", 409, _body(code="000000")),
    "POST account/totp/disable": Entry("person", 409, _body(code="000000", password=PASSWORD)),
    "GET account/identities": Entry("person"),
    "POST account/providers/{provider}/link": Entry("person", 404, ids=_NO_PROVIDER),
    "DELETE account/identities/{identity_id}": Entry("person", 404, ids={"identity_id": "nothing"}),
    # api keys
    "GET api-keys": Entry(ADMIN),
    "POST api-keys": Entry(ADMIN, 201, _body(name="new", scopes=["api_key:write"])),
    "GET api-keys/{api_key_id}": Entry(ADMIN),
    "DELETE api-keys/{api_key_id}": Entry(ADMIN, 204),
    # connections
    "GET connection-kinds": Entry(VIEWER),
    "GET connections": Entry(VIEWER),
    "POST connections": Entry(EDITOR, 201, _connection),
    "GET connections/{connection_id}": Entry(VIEWER),
    "PATCH connections/{connection_id}": Entry(EDITOR, 200, _body(description="new")),
    "DELETE connections/{connection_id}": Entry(
        ADMIN, 204, ids={"connection_id": "unused_connection_id"}
    ),
    "POST connections/{connection_id}/copy": Entry(EDITOR, 201, _body(name="copy")),
    "POST connections/test": Entry(EDITOR, 202, _body(kind="files", config={"format": "csv"})),
    "POST connections/{connection_id}/test": Entry(EDITOR, 202),
    "POST connections/{connection_id}/introspect": Entry(EDITOR, 202, _body(limit=10)),
    "POST connections/{connection_id}/preview": Entry(EDITOR, 202, _body(table="orders.csv")),
    "POST connections/{connection_id}/slots": Entry(
        EDITOR, 202, ids={"connection_id": "destination_id"}
    ),
    "POST connections/{connection_id}/slots/drop": Entry(
        ADMIN, 202, ids={"connection_id": "destination_id"}
    ),
    "POST connections/{connection_id}/query": Entry(
        EDITOR, 202, _body(sql="select 1"), ids={"connection_id": "destination_id"}
    ),
    "GET jobs/{job_id}": Entry(EDITOR),
    # projects: the body of an import is the archive
    "POST projects/import": Entry(ADMIN, 422, _body(id=1), query={"destination_id": "1"}),
    "GET projects/export": Entry(ADMIN, 422, query={"destination_id": "1"}),
    "GET projects/completion": Entry(VIEWER, 422, query={"destination_id": "1"}),
    # files: the body of an upload is the file
    "GET files": Entry(VIEWER),
    "POST files": Entry(EDITOR, 201, _body(id=1), query={"name": "new.jsonl"}),
    "GET files/{file_id}": Entry(VIEWER),
    "POST files/{file_id}/preview": Entry(EDITOR, 202, _body(limit=10)),
    "DELETE files/{file_id}": Entry(ADMIN, 204),
    # transformations
    "GET transformations": Entry(VIEWER),
    "POST transformations": Entry(EDITOR, 201, _transformation, foreign=422),
    "GET transformations/{transformation_id}": Entry(VIEWER),
    "PATCH transformations/{transformation_id}": Entry(EDITOR, 200, _transformation),
    "DELETE transformations/{transformation_id}": Entry(ADMIN, 204),
    "GET transformations/{transformation_id}/versions": Entry(VIEWER),
    "POST transformations/{transformation_id}/versions/{number}/restore": Entry(EDITOR),
    "GET transformations/{transformation_id}/diff": Entry(VIEWER),
    "POST transformations/{transformation_id}/compile": Entry(EDITOR, 202),
    "POST transformations/{transformation_id}/format": Entry(EDITOR, 202),
    "POST transformations/{transformation_id}/lint": Entry(EDITOR, 202),
    "POST transformations/{transformation_id}/preview": Entry(EDITOR, 202, _body(limit=10)),
    # pipelines
    "GET pipelines": Entry(VIEWER),
    "POST pipelines": Entry(EDITOR, 201, _pipeline, foreign=422),
    "GET pipelines/{pipeline_id}": Entry(VIEWER),
    "PATCH pipelines/{pipeline_id}": Entry(EDITOR, 200, _body(name="renamed")),
    "DELETE pipelines/{pipeline_id}": Entry(ADMIN, 204),
    "POST pipelines/{pipeline_id}/pause": Entry(EDITOR),
    "POST pipelines/{pipeline_id}/resume": Entry(EDITOR),
    "GET pipelines/{pipeline_id}/plan": Entry(VIEWER),
    "GET pipelines/{pipeline_id}/versions": Entry(VIEWER),
    "POST pipelines/{pipeline_id}/versions/{number}/restore": Entry(EDITOR),
    "POST pipelines/{pipeline_id}/runs": Entry(EDITOR, 202),
    # cursors
    "GET pipelines/{pipeline_id}/cursors": Entry(VIEWER, ids=_INCREMENTAL),
    "GET pipelines/{pipeline_id}/cursors/{step_key}/{target}": Entry(VIEWER, ids=_INCREMENTAL),
    "POST pipelines/{pipeline_id}/cursors/{step_key}/{target}/rewind": Entry(
        EDITOR, 201, _body(value=None), ids=_INCREMENTAL
    ),
    # schedules
    "GET schedules": Entry(VIEWER),
    "POST schedules": Entry(
        EDITOR, 201, lambda w: {"pipeline_id": w.pipeline_id, "cron": "0 6 * * *"}, foreign=404
    ),
    "POST schedules/preview": Entry(VIEWER, 200, _body(cron="0 6 * * *")),
    "GET schedules/{schedule_id}": Entry(VIEWER),
    "GET schedules/{schedule_id}/fires": Entry(VIEWER),
    "PATCH schedules/{schedule_id}": Entry(EDITOR, 200, _body(is_active=False)),
    "DELETE schedules/{schedule_id}": Entry(ADMIN, 204),
    # dependencies
    "GET dependencies": Entry(VIEWER),
    "GET pipelines/{pipeline_id}/dependencies": Entry(VIEWER),
    "POST pipelines/{pipeline_id}/dependencies": Entry(
        EDITOR, 201, lambda w: {"upstream_id": w.third_id}
    ),
    "GET pipelines/{pipeline_id}/dependencies/{dependency_id}": Entry(VIEWER),
    "PATCH pipelines/{pipeline_id}/dependencies/{dependency_id}": Entry(
        EDITOR, 200, _body(wait_seconds=60)
    ),
    "DELETE pipelines/{pipeline_id}/dependencies/{dependency_id}": Entry(ADMIN, 204),
    "GET pipelines/{pipeline_id}/readiness": Entry(VIEWER),
    # overview
    "GET overview": Entry(VIEWER, own_rows=True),
    # queue
    "GET queue": Entry(VIEWER, own_rows=True),
    # runs
    "GET runs": Entry(VIEWER),
    "GET runs/{run_id}": Entry(VIEWER),
    "GET runs/{run_id}/graph": Entry(VIEWER),
    "GET runs/{run_id}/steps": Entry(VIEWER),
    "GET runs/{run_id}/logs": Entry(VIEWER),
    "GET runs/{run_id}/events": Entry(VIEWER, query={"follow": "false"}),
    "GET runs/{run_id}/plan": Entry(VIEWER),
    "POST runs/{run_id}/cancel": Entry(EDITOR),
    "POST runs/{run_id}/retry": Entry(EDITOR, 202, ids={"run_id": "ended_run_id"}),
    # backfills
    "GET backfills": Entry(VIEWER),
    "POST pipelines/{pipeline_id}/backfills": Entry(
        EDITOR,
        202,
        _body(
            interval_start="2026-01-01T00:00:00Z",
            interval_end="2026-01-03T00:00:00Z",
            chunk_seconds=86_400,
        ),
        ids=_INCREMENTAL,
    ),
    "GET backfills/{backfill_id}": Entry(VIEWER),
    "POST backfills/{backfill_id}/cancel": Entry(EDITOR),
    "POST backfills/{backfill_id}/retry": Entry(
        EDITOR, 202, ids={"backfill_id": "ended_backfill_id"}
    ),
    # notifications
    "GET notification-channels": Entry(VIEWER),
    "POST notification-channels": Entry(ADMIN, 201, _channel),
    "GET notification-channels/{channel_id}": Entry(VIEWER),
    "PATCH notification-channels/{channel_id}": Entry(ADMIN, 200, _body(name="renamed")),
    "DELETE notification-channels/{channel_id}": Entry(ADMIN, 204),
    "POST notification-channels/{channel_id}/test": Entry(ADMIN, 202),
    "POST notification-channels/{channel_id}/rotate-secret": Entry(ADMIN),
    "GET notification-deliveries": Entry(VIEWER),
    "GET notification-deliveries/{delivery_id}": Entry(VIEWER),
    "POST notification-deliveries/{delivery_id}/redeliver": Entry(ADMIN, 202),
    # the rest
    "GET catalog": Entry(VIEWER),
    "GET catalog/lineage": Entry(VIEWER),
    "GET catalog/{entry_id}": Entry(VIEWER),
    "GET catalog/{entry_id}/lineage": Entry(VIEWER),
    "GET catalog/{entry_id}/impact": Entry(VIEWER, query={"column": "id"}),
    "GET audit": Entry(ADMIN),
    "GET audit/export": Entry(ADMIN),
    "GET audit/verify": Entry(ADMIN, own_rows=True),
}
"""Routes under ``/api/v1``."""

_CLAIM: Callable[[World], Any] = lambda w: {  # noqa: E731
    "flow_run_id": "00000000-0000-4000-8000-000000000000",
    "org_id": w.org_id,
    "pipeline_id": w.pipeline_id,
    "run_id": w.queued_run_id,
}

OTHERS: dict[str, Entry] = {
    "GET /healthz": Entry("anyone"),
    "GET /readyz": Entry("anyone"),
    "GET /metrics": Entry("scraper"),
    "POST /internal/v1/claims": Entry("worker", 200, _CLAIM),
    "POST /internal/v1/maintenance/reconcile": Entry("worker"),
    "POST /internal/v1/maintenance/retention": Entry("worker"),
    "POST /internal/v1/maintenance/sweep": Entry("worker"),
    "POST /internal/v1/runs/by-flow-run/{flow_run_id}/crashed": Entry(
        "worker", 200, _body(message="killed")
    ),
    "GET /internal/v1/runs/{run_id}/plan": Entry("run"),
    "GET /internal/v1/runs/{run_id}/steps/{key}": Entry("run"),
    "POST /internal/v1/runs/{run_id}/events": Entry("run", 200, _body(events=[])),
    "POST /internal/v1/runs/{run_id}/finish": Entry("run", 200, _body(state="failed")),
}

ROUTES: dict[str, Entry] = {
    **{name.replace(" ", " /api/v1/", 1): entry for name, entry in API.items()},
    **OTHERS,
}
