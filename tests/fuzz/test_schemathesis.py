"""The API does what its OpenAPI document says, whatever is sent: Schemathesis finds nothing."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from datanika.api.app import create_app
from datanika.config import settings
from datanika.contracts.enums import Role
from datanika.db import SYSTEM, get_session
from datanika.errors import DatanikaError
from datanika.services import throttle
from datanika.services.actor import prove_membership
from tests.isolation.world import World, lift_limits, make_world
from tests.support.redis import RunningRedis
from tests.support.serving import serving
from tests.support.tenants import access_token

CONFIG = Path(__file__).with_name("schemathesis.toml")
OWNER = "the-owner"
"""Stands for the token of an owner whose login is alive, whatever was sent before."""
CHANGES = frozenset({"POST", "PUT", "PATCH", "DELETE"})


ALLOWED = """
# {reason}
[[operations]]
include-name = {names}
checks.positive_data_acceptance.expected-statuses = {statuses}
"""


def configuration(document: dict[str, Any]) -> str:
    """Of Schemathesis: the file beside this one, and what the document shows of which operations
    can refuse what their schema allows."""
    lists, changes, referring = [], [], []
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            names = {one.get("name") for one in operation.get("parameters", ())}
            if "cursor" in names:
                lists.append(f"{method.upper()} {path}")
            if "If-Match" in names:
                changes.append(f"{method.upper()} {path}")
            if method == "get" and "destination_id" in names:
                referring.append(f"GET {path}")
    usual = ["2xx", "401", "403", "404", "422"]
    return (
        CONFIG.read_text("utf-8")
        + ALLOWED.format(
            reason="A cursor is a text that only its own list can read.",
            names=json.dumps(lists),
            statuses=json.dumps(usual),
        )
        + ALLOWED.format(
            reason="Which connections dbt can build in is judged by the service.",
            names=json.dumps(referring),
            statuses=json.dumps(usual),
        )
        + ALLOWED.format(
            reason="If-Match has to name the present revision (412); what refers to something "
            "else or hangs on another field is judged by the service (422).",
            names=json.dumps(changes),
            statuses=json.dumps([*usual, "409", "412"]),
        )
    )


class AlwaysAnOwner:
    """Answers :data:`OWNER` as the owner of a whole organisation: who has just logged out, given
    the organisation away or erased themselves is somebody else at the next request."""

    def __init__(self, app: ASGIApp, world: World) -> None:
        self.app, self.world = app, world

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = MutableHeaders(scope=scope)
        if headers.get("authorization") != f"Bearer {OWNER}":
            await self.app(scope, receive, send)
            return
        headers["authorization"] = f"Bearer {access_token(self.world.owner)}"
        changed = False

        async def answer(message: Message) -> None:
            nonlocal changed
            if message["type"] == "http.response.start":
                changed = scope["method"] in CHANGES and message["status"] < 300
            await send(message)

        await self.app(scope, receive, answer)
        if changed and not await self._still_owner():
            self.world = await make_world()

    async def _still_owner(self) -> bool:
        owner = self.world.owner
        try:
            async with get_session(SYSTEM) as session:
                actor = await prove_membership(
                    session, owner.user_id, owner.org_id, login_session_id=owner.session_id
                )
        except DatanikaError:
            return False
        return actor.role is Role.OWNER


def unlimited(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody has to wait: how long is tested in test_throttle.py and test_rate_limit.py."""
    lift_limits(monkeypatch)
    nothing = throttle.Limits(None)
    monkeypatch.setattr(throttle, "LIMITS", dict.fromkeys(throttle.LIMITS, nothing))


@pytest.mark.timeout(1500)
async def test_schemathesis_finds_nothing(
    database: str,
    redis_server: RunningRedis,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(settings, "redis_url", SecretStr(redis_server.url))
    unlimited(monkeypatch)
    application = create_app()
    app: Any = AlwaysAnOwner(application, await make_world())
    config = tmp_path / "schemathesis.toml"
    config.write_text(configuration(application.openapi()), "utf-8")
    async with serving(app) as url:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(config)),
            *("run", f"{url}/api/v1/openapi.json", "--no-color", "--workers", "2"),
            env=os.environ | {"DATANIKA_TEST_TOKEN": OWNER},
            cwd=tmp_path,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        report, _ = await process.communicate()
    assert process.returncode == 0, failures(report.decode())


def failures(report: str) -> str:
    """What was found: the rest of the report hides it where a log is cut."""
    head, *rest = report.split(" FAILURES ", 1)
    return (rest[0] if rest else head).split(" SUMMARY ", 1)[0].split(" WARNINGS ", 1)[0]
