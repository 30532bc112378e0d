"""A platform that attacks are let loose on: what they are after, in its usual places, and the real
engine child that they run in."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from datanika.contracts.events import RunEvent
from datanika.contracts.spec import TransformStep
from datanika.contracts.steps import ResolvedTransform
from datanika.errors import StepError
from datanika.execution.engine_host import EngineHostClient, start_engine_host
from datanika.execution.sandbox import StepLimits
from tests.test_engines.steps import duckdb
from tests.test_execution.hosts import collect

CANARY = "canary-k3y-of-the-platform-51c"


@dataclass
class Platform:
    """What an attack is after."""

    home: Path
    root: Path
    """Of the attacker's organisation."""
    port: int
    """Of a service of the platform."""
    callers: list[str]
    host: EngineHostClient

    def step(self, sql: str) -> ResolvedTransform:
        return self.project({"models/attack.sql": sql})

    def project(self, files: dict[str, str], owner: str = "") -> ResolvedTransform:
        """A step of a whole project: what ``files`` has takes the place of the platform's own."""
        given = {"dbt_project.yml": "name: org1\nversion: 1.0.0\nprofile: org1\n"}
        return ResolvedTransform(
            run_id=1,
            attempt=1,
            step=TransformStep(key="attack", destination_id=3, threads=1),
            destination=duckdb(self.root),
            project_name="org1",
            owner=owner,
            files=given | files,
        )

    async def run(self, sql: str, **limits: float) -> list[RunEvent]:
        """The events of a model; none when its process died."""
        return await self.run_step(self.step(sql), **limits)

    async def run_step(self, step: ResolvedTransform, **limits: float) -> list[RunEvent]:
        """The events of a step; none when its process died."""
        try:
            step_limits = StepLimits(cpu_seconds=30).model_copy(update=limits)
            return await collect(self.host, step, limits=step_limits, timeout_seconds=60)
        except StepError:
            return []

    def tree(self) -> dict[str, bytes]:
        """Every file beside the attacker's own."""
        return {
            str(path): path.read_bytes()
            for path in sorted(self.home.rglob("*"))
            if path.is_file() and self.root not in path.parents and "work" not in path.parts
        }


@contextlib.asynccontextmanager
async def attacked_platform(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Platform]:
    """One of them; what is in its home is nobody's that attacks."""
    home = tmp_path_factory.mktemp("home")
    root = home / "orgs" / "1"
    (root / "warehouse").mkdir(parents=True)
    other = home / "orgs" / "2" / "files"
    other.mkdir(parents=True)
    for path in (home / "runtime.env", home / "keys", other / "orders.csv"):
        path.write_text(f"value\n{CANARY}\n")
    callers: list[str] = []

    async def called(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        callers.append("somebody")
        writer.close()

    server = await asyncio.start_server(called, "127.0.0.1", 0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DATANIKA_HOME", str(home))
        patch.setenv("DATANIKA_SECRET_KEY", CANARY)
        host = start_engine_host()
    port = int(server.sockets[0].getsockname()[1])
    yield Platform(home, root, port, callers, host)
    host.close()
    server.close()


@contextlib.contextmanager
def harmless(platform: Platform, events: list[RunEvent]) -> Iterator[None]:
    """Nothing that the block's attacks did can be seen outside, and they learned no secret."""
    before = platform.tree()
    yield
    assert platform.tree() == before
    assert platform.callers == []
    for event in events:
        assert CANARY not in event.model_dump_json()
    for path in platform.root.rglob("*"):
        assert not path.is_file() or CANARY.encode() not in path.read_bytes()
