"""The engine host: isolation, limits, cancelling. Killed loads: tests/faults."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from datanika.contracts.enums import DbtCommand, StepState
from datanika.contracts.events import LogLine, NodeFinished, NodeStarted, StepFinished
from datanika.contracts.spec import TransformStep
from datanika.contracts.steps import ResolvedConnection, ResolvedTransform
from datanika.errors import TransientStepError
from datanika.execution.engine_host import EngineHostClient, start_engine_host
from datanika.execution.sandbox import StepLimits
from tests.support.postgres import Warehouse
from tests.test_engines.steps import duckdb, files, load, postgres, table
from tests.test_execution.hosts import collect

CANARY = "canary-p4ssw0rd-7f3a"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
async def host(home: Path) -> AsyncIterator[EngineHostClient]:
    """An exec'd, warmed host, started from an environment full of canaries."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DATANIKA_HOME", str(home))
        patch.setenv("DATANIKA_SECRET_KEY", CANARY)
        patch.setenv("DESTINATION__POSTGRES__CREDENTIALS", f"postgresql://x:{CANARY}@127.0.0.1/x")
        patch.setenv("DESTINATION__CREDENTIALS", f"postgresql://x:{CANARY}@127.0.0.1/x")
        patch.setenv("PGPASSWORD", CANARY)
        client = start_engine_host()
    yield client
    client.close()


def write_rows(root: Path, rows: int, first: int = 0) -> None:
    (root / "files").mkdir(parents=True, exist_ok=True)
    ids = list(range(first, first + rows))
    pq.write_table(
        pa.table({"id": ids, "text": [f"row {i}" for i in ids]}), root / "files" / "t.parquet"
    )


def transform(
    destination: ResolvedConnection, command: DbtCommand = DbtCommand.BUILD, **models: str
) -> ResolvedTransform:
    project = {
        "dbt_project.yml": "name: org1\nversion: 1.0.0\nprofile: org1\n",
        **{f"models/{name}.sql": sql for name, sql in models.items()},
    }
    return ResolvedTransform(
        run_id=7,
        attempt=1,
        step=TransformStep(key="transform", destination_id=destination.id, command=command),
        destination=destination,
        project_name="org1",
        files=project,
    )


async def test_a_ten_row_load_in_a_warm_child_takes_about_a_second(
    host: EngineHostClient, tmp_path: Path
) -> None:
    write_rows(tmp_path, 10)
    step = load(files(tmp_path), duckdb(tmp_path), table("t.parquet", "t"))
    await collect(host, step)
    started = time.monotonic()
    events = await collect(host, step)
    seconds = time.monotonic() - started
    assert events[-1].state is StepState.SUCCEEDED  # type: ignore[union-attr]
    assert seconds < 6


async def test_the_direct_ways_of_a_load_work_behind_the_fence(
    host: EngineHostClient, tmp_path: Path, warehouse: Warehouse
) -> None:
    """COPY from PostgreSQL and from a CSV file, and DuckDB's own scan, with its extension."""
    root = tmp_path / "orgs" / "1"
    (root / "files").mkdir(parents=True)
    (root / "warehouse").mkdir()
    (root / "files" / "t.csv").write_text("id,text\n1,one\n2,two\n")
    warehouse.query("CREATE TABLE public.t AS SELECT i AS id FROM generate_series(1, 10) i")
    remote, local = postgres(warehouse.config), duckdb(root)
    for source, destination, name, way in (
        (remote, remote, "t", "binary COPY"),
        (files(root, "csv"), remote, "t.csv", "CSV to COPY"),
        (remote, local, "t", "DuckDB scan"),
    ):
        schema = "public" if source is remote else None
        target = way.partition(" ")[0].lower()
        step = load(source, destination, table(name, target), source_schema=schema)
        *_, node, finished = await collect(host, step)
        assert isinstance(finished, StepFinished)
        assert finished.failure is None, way
        assert isinstance(node, NodeFinished)
        assert node.details["path"] == way


async def test_a_child_sees_nothing_of_its_parents(
    host: EngineHostClient, home: Path, warehouse: Warehouse
) -> None:
    probe = (
        'select \'{{ env_var("DATANIKA_SECRET_KEY", "none") }}\' as secret, '
        "'{{ env_var(\"HOME\") }}' as home"
    )
    events = await collect(host, transform(postgres(warehouse.config), probe=probe))
    finished = events[-1]
    assert isinstance(finished, StepFinished)
    assert finished.failure is None
    [(secret, folder)] = warehouse.query("SELECT secret, home FROM analytics.probe")
    assert secret == "none"
    assert Path(folder).parent == home / "work"
    assert entries(home / "work") == []


def test_environment_of_the_host_process_is_clean(host: EngineHostClient) -> None:
    environment = Path(f"/proc/{host.pid}/environ").read_bytes().decode()
    names = {item.partition("=")[0] for item in environment.split("\0") if item}
    assert names <= {"PATH", "LANG", "DATANIKA_HOME", "TZ"}


async def test_credentials_appear_in_no_event_and_no_file(
    host: EngineHostClient, home: Path, tmp_path: Path, warehouse: Warehouse
) -> None:
    write_rows(tmp_path, 10)
    wrong = postgres({**warehouse.config, "password": CANARY})
    failed = await collect(host, load(files(tmp_path), wrong, table("t.parquet", "t")))
    broken = await collect(host, transform(wrong, one="select 1 as id"))
    leaky = await collect(
        host,
        transform(postgres(warehouse.config), leak=f"select '{warehouse.password}'::int as id"),
    )
    for events, secret in ((failed, CANARY), (broken, CANARY), (leaky, warehouse.password)):
        text = "\n".join(event.model_dump_json() for event in events)
        assert secret not in text
        assert isinstance(events[-1], StepFinished)
        assert events[-1].state is StepState.FAILED
    for events in (failed, broken):
        assert events[-1].failure.code == "authentication_failed"  # type: ignore[union-attr]
        assert events[-1].failure.transient is False  # type: ignore[union-attr]
    assert entries(home / "work") == []


async def test_ambient_destination_variables_do_not_hijack(
    host: EngineHostClient, tmp_path: Path, warehouse: Warehouse
) -> None:
    write_rows(tmp_path, 10)
    step = load(files(tmp_path), postgres(warehouse.config), table("t.parquet", "t"))
    assert (await collect(host, step))[-1].failure is None  # type: ignore[union-attr]
    assert warehouse.query("SELECT count(*) FROM raw.t") == [(10,)]


async def test_dbt_nodes_are_told_one_by_one(host: EngineHostClient, warehouse: Warehouse) -> None:
    step = transform(
        postgres(warehouse.config),
        one="{{ config(materialized='table') }} select generate_series(1, 5) as id",
        two="select id, 'x'::text as name from {{ ref('one') }}",
    )
    events = await collect(host, step)
    ends = {e.name: e for e in events if isinstance(e, NodeFinished)}
    assert {e.name for e in events if isinstance(e, NodeStarted)} == {"one", "two"}
    assert (ends["one"].rows, ends["one"].relation) == (5, "analytics.one")
    assert [c.name for c in ends["two"].columns] == ["id", "name"]
    assert ends["two"].depends_on == ("model.org1.one",)
    assert "generate_series" in ends["one"].details["compiled_sql"]
    assert any(isinstance(event, LogLine) for event in events)


async def test_a_failing_dbt_test_fails_its_node_and_the_step_for_good(
    host: EngineHostClient, warehouse: Warehouse
) -> None:
    step = transform(postgres(warehouse.config), one="select null::int as id")
    step = step.model_copy(
        update={
            "files": {
                **step.files,
                "models/schema.yml": (
                    "version: 2\nmodels:\n- name: one\n  columns:\n  - name: id\n"
                    "    data_tests: [not_null]\n"
                ),
            }
        }
    )
    events = await collect(host, step)
    ends = {e.resource_type: e for e in events if isinstance(e, NodeFinished)}
    assert ends["model"].state is StepState.SUCCEEDED
    assert ends["test"].state is StepState.FAILED
    assert ends["test"].failure is not None
    failure = events[-1].failure  # type: ignore[union-attr]
    assert failure is not None
    assert (failure.code, failure.transient) == ("dbt_tests_failed", False)
    assert "not_null_one_id" in failure.message


async def test_a_model_that_fails_skips_what_needs_it(
    host: EngineHostClient, warehouse: Warehouse
) -> None:
    step = transform(
        postgres(warehouse.config),
        one="select * from nowhere.at_all",
        two="select * from {{ ref('one') }}",
    )
    events = await collect(host, step)
    ends = {e.name: e for e in events if isinstance(e, NodeFinished)}
    assert ends["one"].failure is not None
    assert ends["one"].failure.code == "table_missing"
    assert ends["two"].state is StepState.SKIPPED


async def test_a_project_that_does_not_compile_says_where(
    host: EngineHostClient, warehouse: Warehouse
) -> None:
    events = await collect(
        host, transform(postgres(warehouse.config), one="select * from {{ ref('absent') }}")
    )
    failure = events[-1].failure  # type: ignore[union-attr]
    assert failure is not None
    assert failure.code == "dbt_compile_failed"
    assert "absent" in failure.message


async def test_duckdb_models_cannot_read_files(host: EngineHostClient, tmp_path: Path) -> None:
    step = transform(
        duckdb(tmp_path), thief="select * from read_csv('/etc/passwd', all_varchar=true)"
    )
    step = step.model_copy(
        update={"files": {**step.files, "seeds/colours.csv": "id,name\n1,red\n"}}
    )
    events = await collect(host, step)
    ends = {e.name: e for e in events if isinstance(e, NodeFinished)}
    assert ends["thief"].state is StepState.FAILED
    assert ends["colours"].state is StepState.SUCCEEDED


async def test_closing_the_stream_kills_the_child_and_removes_its_folder(
    host: EngineHostClient, home: Path, warehouse: Warehouse
) -> None:
    step = transform(
        postgres(warehouse.config),
        slow="{{ config(materialized='table') }} select pg_sleep(600)::text as id",
    )
    stream = host.run(step)
    async with aclosing(stream) as events:  # type: ignore[type-var]
        async for event in events:
            if isinstance(event, NodeStarted):
                break
        assert len(children_of(host.pid)) == 1
    assert children_of(host.pid) == []
    assert entries(home / "work") == []


async def test_a_killed_child_is_a_transient_failure(
    host: EngineHostClient, tmp_path: Path
) -> None:
    write_rows(tmp_path, 10)
    step = load(files(tmp_path), duckdb(tmp_path), table("t.parquet", "t"))
    with pytest.raises(TransientStepError) as caught:
        async with aclosing(host.run(step)) as events:  # type: ignore[type-var]
            async for _ in events:
                for pid in children_of(host.pid):
                    os.kill(pid, signal.SIGKILL)
    assert caught.value.code == "engine_died"
    assert "SIGKILL" in caught.value.message


async def test_too_much_memory_is_a_failure_with_its_reason(
    host: EngineHostClient, tmp_path: Path
) -> None:
    step = transform(duckdb(tmp_path), big="select '{{ \"x\" * 3000000000 }}' as text")
    events = await collect(host, step, limits=StepLimits(memory_mb=1024))
    failure = events[-1].failure  # type: ignore[union-attr]
    assert failure is not None
    assert failure.code in ("out_of_memory", "dbt_model_failed", "dbt_compile_failed")


async def test_children_die_with_their_host(
    home: Path, tmp_path: Path, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATANIKA_HOME", str(home))
    own = start_engine_host()
    step = transform(
        postgres(warehouse.config),
        slow="{{ config(materialized='table') }} select pg_sleep(600)::text as id",
    )
    with pytest.raises(TransientStepError):
        async with aclosing(own.run(step)) as events:  # type: ignore[type-var]
            async for event in events:
                if isinstance(event, NodeStarted):
                    orphans = children_of(own.pid)
                    os.kill(own.pid, signal.SIGKILL)
    await asyncio.sleep(0.5)
    assert orphans
    assert [pid for pid in orphans if is_alive(pid)] == []
    own.close()


def entries(folder: Path) -> list[Path]:
    return list(folder.iterdir())


def children_of(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(child) for child in text.split() if is_alive(int(child))]


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_warming_up_leaves_one_thread_and_nothing_open(tmp_path: Path) -> None:
    code = (
        "import json, os\n"
        "from datanika.execution.preload import warm_up\n"
        "warm_up()\n"
        "fds = [os.readlink(f'/proc/self/fd/{n}') for n in os.listdir('/proc/self/fd')"
        " if os.path.exists(f'/proc/self/fd/{n}')]\n"
        "print(json.dumps([len(os.listdir('/proc/self/task')), fds,"
        " open(f'/proc/self/task/{os.getpid()}/children').read()]))\n"
    )
    environment = {"PATH": os.environ["PATH"], "DATANIKA_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    threads, fds, children = json.loads(done.stdout)
    assert threads == 1
    assert not [fd for fd in fds if "socket" in fd or ".duckdb" in fd]
    assert children == ""
    assert "failed" not in done.stderr
    assert entries(tmp_path / "work") == []


async def test_a_project_is_parsed_once_for_its_organisation_and_no_credential_is_kept(
    host: EngineHostClient, home: Path, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATANIKA_HOME", str(home))
    kept = home / "parsed"
    step = transform(
        postgres(warehouse.config),
        base="{{ config(materialized='table') }}\nselect 1 as id",
        top="select id from {{ ref('base') }}",
    )

    async def names(owner: str, run_id: int = 1, **files: str) -> tuple[list[str], set[str]]:
        """(the nodes that were built, the entries there are)"""
        changed = {"owner": owner, "run_id": run_id, "files": {**step.files, **files}}
        events = await collect(host, step.model_copy(update=changed))
        assert isinstance(events[-1], StepFinished)
        assert events[-1].state is StepState.SUCCEEDED, events[-1].failure
        built = [one.name for one in events if isinstance(one, NodeFinished)]
        return built, {str(path.relative_to(kept)) for path in kept.rglob("*.entry")}

    built, first = await names("one")
    assert (built, len(first)) == (["base", "top"], 1)
    [path] = kept.rglob("*.entry")
    written = path.stat().st_ino
    # Spoilt, it is a parse; whole, it is not written again.
    assert await names("one", run_id=2) == (built, first)
    assert path.stat().st_ino == written, "it was parsed again"
    path.write_bytes(path.read_bytes()[:-1])
    assert await names("one", run_id=3) == (built, first)
    assert path.stat().st_ino != written
    built, second = await names("one", **{"models/more.sql": "select 2 as id"})
    assert sorted(built) == ["base", "more", "top"]
    assert len(second) == 2
    _, third = await names("two")
    assert len(third) == 3
    assert len({name.split("/")[0] for name in third}) == 2
    for entry in kept.rglob("*.entry"):
        assert warehouse.password.encode() not in entry.read_bytes()
        assert CANARY.encode() not in entry.read_bytes()
