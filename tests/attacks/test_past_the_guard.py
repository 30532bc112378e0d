"""With the guard of tenant Jinja switched off an attack still does no harm: the real engine child,
a real dbt, and what the attack is after in its usual places.

Each attack is a run of dbt. CI runs a twelfth of the corpus, DATANIKA_ATTACKS=all runs all of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from datanika.contracts.enums import StepState
from datanika.contracts.events import RunEvent, StepFinished
from datanika.contracts.spec import TransformStep
from datanika.contracts.steps import ResolvedTransform
from datanika.errors import StepError
from datanika.execution.engine_host import EngineHostClient, start_engine_host
from datanika.execution.sandbox import StepLimits
from tests.attacks.corpus import (
    ENDLESS,
    ESCAPES_THE_LANGUAGE,
    REACHES_FILES,
    READS_THE_PROCESS,
    REWRITES_THE_PROJECT,
)
from tests.test_engines.steps import duckdb
from tests.test_execution.hosts import collect

CANARY = "canary-k3y-of-the-platform-51c"
CORPUS = [*READS_THE_PROCESS, *REACHES_FILES, *ESCAPES_THE_LANGUAGE, *REWRITES_THE_PROJECT]
CHOSEN = CORPUS if os.environ.get("DATANIKA_ATTACKS") == "all" else CORPUS[::12]


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
        return ResolvedTransform(
            run_id=1,
            attempt=1,
            step=TransformStep(key="attack", destination_id=3, threads=1),
            destination=duckdb(self.root),
            project_name="org1",
            files={
                "dbt_project.yml": "name: org1\nversion: 1.0.0\nprofile: org1\n",
                "models/attack.sql": sql,
            },
        )

    async def run(self, sql: str, **limits: float) -> list[RunEvent]:
        """The events of a model; none when its process died."""
        try:
            step_limits = StepLimits(cpu_seconds=30).model_copy(update=limits)
            return await collect(self.host, self.step(sql), limits=step_limits, timeout_seconds=60)
        except StepError:
            return []

    def tree(self) -> dict[str, bytes]:
        """Every file beside the attacker's own."""
        return {
            str(path): path.read_bytes()
            for path in sorted(self.home.rglob("*"))
            if path.is_file() and self.root not in path.parents and "work" not in path.parts
        }


@pytest.fixture(scope="module")
async def platform(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Platform]:
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


@pytest.mark.timeout(900)
async def test_no_attack_of_the_corpus_does_harm(platform: Platform) -> None:
    events: list[RunEvent] = []
    with harmless(platform, events):
        for text in CHOSEN:
            events += await platform.run(f"select '{text}' as a")


@pytest.mark.parametrize(
    "sql",
    [
        "select content from read_text('{home}/runtime.env')",
        "select * from read_csv('{home}/orgs/2/files/orders.csv')",
        "select * from glob('{home}/*')",
        "{{{{ run_query('select 1').from_csv('{home}/keys').columns[0].values() }}}}",
        "{{% do run_query('select 1 as a').to_csv('{home}/orgs/2/files/evil.csv') %}} select 1",
        "{{% do run_query(\"copy (select 1) to '{home}/keys'\") %}} select 1",
        "{{% do run_query(\"attach '{home}/orgs/2/warehouse.duckdb' as w\") %}} select 1",
    ],
)
async def test_sql_and_jinja_reach_no_file_of_others(platform: Platform, sql: str) -> None:
    events: list[RunEvent] = []
    with harmless(platform, events):
        events += await platform.run(sql.format(home=platform.home))
    [finished] = [event for event in events if isinstance(event, StepFinished)]
    assert finished.state is StepState.FAILED


@pytest.mark.timeout(300)
async def test_a_bomb_ends_at_its_limits_and_its_neighbour_on_time(platform: Platform) -> None:
    neighbour = asyncio.create_task(platform.run("select 1 as a"))
    begin = time.monotonic()
    bombs = [
        platform.run(f"select '{text}' as a", cpu_seconds=4, memory_mb=512) for text in ENDLESS
    ]
    ends = await asyncio.gather(*bombs)
    [finished] = [event for event in await neighbour if isinstance(event, StepFinished)]
    assert finished.state is StepState.SUCCEEDED
    # Their processes died before they could say anything.
    assert ends == [[], []]
    assert time.monotonic() - begin < 120
