"""Every SaaS kind against a server that does what the vendor's document says."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from datanika.contracts.ad_hoc import IntrospectAction, PreviewAction, ProbeAction
from datanika.contracts.catalog import connector_kind, validate_config
from datanika.contracts.steps import ResolvedConnection
from datanika.engines.ad_hoc.perform import perform
from datanika.engines.connectors.registry import CONNECTORS
from datanika.engines.failures import failure_of
from tests.support.simulated_api import SimulatedApi, simulated
from tests.test_engines.saas_cases import CASES, TOKEN, Case, service_account
from tests.test_engines.steps import APPEND, LOCAL, MERGE, duckdb, load, run, table
from tests.test_engines.targets import ask_duckdb

# As in test_load_rest_api: dlt drops responses without closing them.
pytestmark = pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)
FIRST = 5
"""Records at first: three pages of two."""

Serve = Callable[..., SimulatedApi]


@pytest.fixture(params=CASES, ids=lambda case: case.kind)
def case(request: pytest.FixtureRequest) -> Case:
    found: Case = request.param
    return found


@pytest.fixture
def api(case: Case, monkeypatch: pytest.MonkeyPatch) -> Iterator[SimulatedApi]:
    with simulated(case.vendor, [case.record(n) for n in range(FIRST)]) as served:
        kind: Any = type(CONNECTORS[case.kind])
        monkeypatch.setitem(CONNECTORS, case.kind, kind(base_url=served.url))
        yield served
    gc.collect()


def connection(case: Case, secret: str | None = None) -> ResolvedConnection:
    given = secret or (service_account() if case.secret == "service_account" else TOKEN)
    config = case.config | {case.secret: given}
    validate_config(case.kind, config)
    return ResolvedConnection(
        id=8, name=case.kind, kind=case.kind, config=config,
        secret_fields=connector_kind(case.kind).secret_fields, egress=LOCAL,
    )  # fmt: skip


def test_every_saas_kind_has_a_case() -> None:
    from datanika.engines.connectors.rest import RestConnector

    own = {"rest_api", "openapi"}
    kinds = {name for name, one in CONNECTORS.items() if isinstance(one, RestConnector)} - own
    assert kinds == {case.kind for case in CASES}


def test_all_pages_arrive_once_and_a_second_run_reads_new_rows_only(
    case: Case, api: SimulatedApi, tmp_path: Path
) -> None:
    spec = table(case.table, "rows", MERGE, case.key, cursor=case.cursor)
    step = load(connection(case), duckdb(tmp_path), spec)
    first = run(step)
    assert first.finished.failure is None
    assert (first.finished.rows, api.sent) == (FIRST, FIRST)
    api.records += [case.record(n) for n in range(FIRST, FIRST + 3)]
    api.sent = 0
    second = run(step)
    assert second.finished.failure is None
    # The last row again, and the new ones.
    assert second.finished.rows == 4
    # Jira's search knows no time zone and is asked a day early.
    assert api.sent <= (5 if case.filtered else FIRST + 3)
    assert ask_duckdb(tmp_path)("SELECT count(*) FROM raw.rows") == [(FIRST + 3,)]


def test_append_with_a_cursor_doubles_nothing(
    case: Case, api: SimulatedApi, tmp_path: Path
) -> None:
    step = load(
        connection(case), duckdb(tmp_path), table(case.table, "rows", APPEND, cursor=case.cursor)
    )
    assert run(step).code is None
    assert (run(step).code, run(step).code) == (None, None)
    assert ask_duckdb(tmp_path)("SELECT count(*) FROM raw.rows") == [(FIRST,)]


def test_a_refused_login_is_said_and_the_secret_is_not(
    case: Case, api: SimulatedApi, tmp_path: Path
) -> None:
    if case.secret == "service_account":
        wrong = service_account().replace("loader@project.example", "other@project.example")
    else:
        wrong = "wr0ng-but-long-enough"
    out = run(load(connection(case, wrong), duckdb(tmp_path), table(case.table, "rows")))
    assert out.code == "authentication_failed"
    assert wrong not in repr(out.finished)
    with pytest.raises(Exception) as caught:
        perform(ProbeAction(connection=connection(case, wrong)), tmp_path)
    assert failure_of(caught.value).code == "authentication_failed"


def test_a_rate_limit_is_waited_for(case: Case, api: SimulatedApi, tmp_path: Path) -> None:
    api.limited = 1
    out = run(load(connection(case), duckdb(tmp_path), table(case.table, "rows")))
    assert (out.code, out.finished.rows) == (None, FIRST)


def test_a_rate_limit_without_end_is_a_failure_that_passes(
    case: Case, api: SimulatedApi, tmp_path: Path
) -> None:
    api.limited = 1000
    out = run(load(connection(case), duckdb(tmp_path), table(case.table, "rows")))
    assert out.finished.failure is not None
    assert (out.code, out.finished.failure.transient) == ("http_429", True)


def test_a_connection_can_be_tested_looked_into_and_previewed(
    case: Case, api: SimulatedApi, tmp_path: Path
) -> None:
    source = connection(case)
    assert perform(ProbeAction(connection=source), tmp_path).type == "test"
    found: Any = perform(IntrospectAction(connection=source, search=case.table), tmp_path)
    named = {one.name: one for one in found.tables}
    assert named[case.table].kind == "endpoint"
    assert set(named[case.table].primary_key) <= {*case.key, "gid", "id", "ts", "channel_id"}
    shown: Any = perform(
        PreviewAction(connection=source, table=case.table, columns=case.key, limit=2), tmp_path
    )
    assert (len(shown.rows), shown.is_truncated) == (2, True)
    missing = PreviewAction(connection=source, table="no such table!", limit=1)
    with pytest.raises(Exception):  # noqa: B017 - airtable asks the server, others know
        perform(missing, tmp_path)


def test_a_host_cannot_be_smuggled_into_a_configuration(case: Case) -> None:
    from datanika.errors import InvalidInput

    good = case.config | {case.secret: TOKEN}
    for field, value in good.items():
        if not isinstance(value, str) or field == "service_account":
            continue
        for trick in ("evil.example/", "a@b", "x\ny", "../.."):
            if field in ("email", "client_id", "client_secret") or field == case.secret:
                continue
            if field == "developer_token":
                continue
            with pytest.raises(InvalidInput):
                validate_config(case.kind, good | {field: trick})
    with pytest.raises(InvalidInput):
        validate_config(case.kind, good | {"base_url": "https://evil.example"})
