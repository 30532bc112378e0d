"""Ad hoc actions in their sandbox: what gets in, what gets out, and when it ends."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from datanika.contracts.ad_hoc import (
    AdHocAction,
    AdHocAnswer,
    CompileAction,
    ProbeAction,
    QueryAction,
    RowsResult,
)
from datanika.contracts.spec import TransformStep
from datanika.contracts.steps import ResolvedTransform
from datanika.execution import ad_hoc_host, sandbox
from datanika.execution.ad_hoc import _redacted
from datanika.execution.redact import Redactor
from datanika.execution.sandbox import run_ad_hoc
from tests.support.postgres import Warehouse
from tests.test_engines.steps import duckdb, postgres

CANARY = "canary-of-the-probe-4e7"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DATANIKA_HOME", str(tmp_path))
    return tmp_path


def failure_code(action: AdHocAction, seconds: float = 60) -> str:
    answer = run_ad_hoc(action, seconds)
    assert answer.failure is not None
    assert CANARY not in answer.model_dump_json()
    return answer.failure.code


def test_a_probe_tells_what_is_wrong(warehouse: Warehouse, home: Path) -> None:
    def probe(**changes: object) -> ProbeAction:
        return ProbeAction(connection=postgres({**warehouse.config, **changes}))

    assert run_ad_hoc(probe()).result is not None
    assert failure_code(probe(password=CANARY)) == "authentication_failed"
    assert failure_code(probe(port=1)) == "host_unreachable"
    assert failure_code(probe(database="nowhere")) == "database_missing"
    assert [*(home / "work").iterdir()] == []


def test_a_query_that_does_not_end_is_ended_with_its_process(
    warehouse: Warehouse, home: Path
) -> None:
    query = QueryAction(connection=postgres(warehouse.config), sql="SELECT pg_sleep(60)", limit=1)
    started = time.monotonic()
    assert failure_code(query, 5) == "action_timeout"
    assert time.monotonic() - started < 10
    deadline = time.monotonic() + 10
    running = "SELECT 1 FROM pg_stat_activity WHERE application_name = 'datanika query'"
    while warehouse.query(running):
        assert time.monotonic() < deadline, "the server still runs it"
        time.sleep(0.2)


def test_the_password_is_masked_in_the_rows(warehouse: Warehouse) -> None:
    sql = f"SELECT '{warehouse.password}' AS a, 'x{warehouse.password}y' AS b"
    query = QueryAction(connection=postgres(warehouse.config), sql=sql, limit=1)
    answer = run_ad_hoc(query)
    assert isinstance(answer.result, RowsResult)
    assert answer.result.rows == (("•••", "x•••y"),)


def test_a_password_that_is_an_ordinary_word_does_not_spoil_the_answer() -> None:
    answer = {"result": {"type": "rows", "rows": [["rows", 1]], "compiled_sql": None}}
    assert _redacted(answer, Redactor(["rows"])) == {
        "result": {"type": "rows", "rows": [["•••", 1]], "compiled_sql": None}
    }


def test_an_action_sees_nothing_of_the_worker(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATANIKA_SECRET_KEY", CANARY)
    assert CANARY not in str(sandbox.clean_environment())


def test_too_much_to_answer_is_refused(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    import duckdb as driver

    monkeypatch.setattr(ad_hoc_host, "MAX_ANSWER", 10)
    (home / "warehouse").mkdir()
    driver.connect(str(home / "warehouse" / "warehouse.duckdb")).close()
    action = QueryAction(connection=duckdb(home), sql="SELECT repeat('x', 5000)", limit=1)
    assert failure_code(action) == "answer_too_large"


def test_a_process_that_dies_is_a_failure(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    monkeypatch.setattr(ad_hoc_host, "AD_HOC_MODULE", "this")
    answer: AdHocAnswer = run_ad_hoc(ProbeAction(connection=duckdb(home)))
    assert answer.failure is not None
    assert answer.failure.code == "engine_died"


def test_a_warm_process_answers_the_same_and_leaves_nothing(
    warehouse: Warehouse, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One warm process for many promises: it takes seconds to start."""
    monkeypatch.setenv("DATANIKA_SECRET_KEY", CANARY)
    monkeypatch.setattr(ad_hoc_host, "_host", None)
    sandbox.keep_warm()
    host = ad_hoc_host._host
    assert host is not None
    try:
        # Until it is warm a fresh process answers.
        assert ad_hoc_host._warm_host() is None
        assert host.wait_ready(120)
        environment = Path(f"/proc/{host.pid}/environ").read_bytes()
        assert CANARY.encode() not in environment
        # Nobody may fall back to a fresh process from here on.
        monkeypatch.setattr(ad_hoc_host, "AD_HOC_MODULE", "this")
        assert run_ad_hoc(ProbeAction(connection=postgres(warehouse.config))).result is not None
        wrong = postgres({**warehouse.config, "password": CANARY})
        assert failure_code(ProbeAction(connection=wrong)) == "authentication_failed"
        sql = f"SELECT '{warehouse.password}' AS a"
        query = QueryAction(connection=postgres(warehouse.config), sql=sql, limit=1)
        answer = run_ad_hoc(query)
        assert isinstance(answer.result, RowsResult) and answer.result.rows == (("•••",),)
        with ThreadPoolExecutor(3) as pool:
            answers = [*pool.map(run_ad_hoc, [query] * 6)]
        assert all(isinstance(one.result, RowsResult) for one in answers)
        sleeping = QueryAction(
            connection=postgres(warehouse.config), sql="SELECT pg_sleep(60)", limit=1
        )
        started = time.monotonic()
        assert failure_code(sleeping, 3) == "action_timeout"
        assert time.monotonic() - started < 10
        assert [*(home / "work").iterdir()] == []

        step = project(warehouse, "select 7 as id")
        preview = CompileAction(step=step, model="a", limit=5)
        for _ in range(2):
            shown = run_ad_hoc(preview).result
            assert isinstance(shown, RowsResult) and shown.rows == ((7,),)
            [entry] = (home / "parsed").rglob("*.entry")
            assert warehouse.password.encode() not in entry.read_bytes()
        changed = CompileAction(step=project(warehouse, "select 8 as id"), model="a", limit=5)
        shown = run_ad_hoc(changed).result
        assert isinstance(shown, RowsResult) and shown.rows == ((8,),)
        assert len([*(home / "parsed").rglob("*.entry")]) == 2
    finally:
        host.close()


def project(warehouse: Warehouse, sql: str) -> ResolvedTransform:
    return ResolvedTransform(
        run_id=0,
        attempt=0,
        step=TransformStep(key="compile", destination_id=2),
        destination=postgres(warehouse.config),
        project_name="org1",
        files={
            "dbt_project.yml": "name: org1\nversion: 1.0.0\nprofile: org1\n",
            "models/a.sql": sql,
        },
        owner="one",
    )
