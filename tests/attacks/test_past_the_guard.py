"""With the guard of tenant Jinja switched off an attack still does no harm: the real engine child,
a real dbt, and what the attack is after in its usual places.

Each attack is a run of dbt. CI runs a twelfth of the corpus, DATANIKA_ATTACKS=all runs all of it.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator

import pytest

from datanika.contracts.enums import StepState
from datanika.contracts.events import RunEvent, StepFinished
from tests.attacks.corpus import (
    ENDLESS,
    ESCAPES_THE_LANGUAGE,
    REACHES_FILES,
    READS_THE_PROCESS,
    REWRITES_THE_PROJECT,
)
from tests.support.attacked import Platform, attacked_platform, harmless

CORPUS = [*READS_THE_PROCESS, *REACHES_FILES, *ESCAPES_THE_LANGUAGE, *REWRITES_THE_PROJECT]
CHOSEN = CORPUS if os.environ.get("DATANIKA_ATTACKS") == "all" else CORPUS[::12]


@pytest.fixture(scope="module")
async def platform(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Platform]:
    async with attacked_platform(tmp_path_factory) as made:
        yield made


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
