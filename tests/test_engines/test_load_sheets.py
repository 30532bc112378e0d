"""Sheets: Excel workbooks that were uploaded, and Google's against a server of its document."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openpyxl import Workbook

from datanika.contracts.ad_hoc import IntrospectAction, PreviewAction, ProbeAction
from datanika.contracts.catalog import validate_config
from datanika.contracts.steps import ResolvedConnection
from datanika.engines.ad_hoc.perform import perform
from datanika.engines.connectors.google_sheets import GoogleSheetsConnector
from datanika.engines.connectors.registry import CONNECTORS
from datanika.engines.failures import failure_of
from tests.support.simulated_api import Answer, Asked, SimulatedApi, Vendor, simulated
from tests.test_engines import steps
from tests.test_engines.saas_cases import TOKEN, by_assertion, granted, service_account
from tests.test_engines.steps import APPEND, LOCAL, duckdb, load, run, table
from tests.test_engines.targets import Target

ROWS: list[list[Any]] = [
    ["id", "price", "code", "mixed", "day", "moment", "flag", "gap"],
    [1, 0.1, "007", 1, dt.date(2024, 2, 29), dt.datetime(2024, 1, 1, 10, 30), True, None],
    [2, 3, "x\n\"y\"", "two", dt.date(1999, 12, 31), dt.datetime(2024, 1, 2), False, None],
]  # fmt: skip


def workbook(path: Path, **sheets: list[list[Any]]) -> None:
    book = Workbook()
    book.remove(book.active)
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(row)
    book.save(path)


def test_cells_of_a_workbook_arrive_with_their_types(target: Target, tmp_path: Path) -> None:
    source = steps.files(tmp_path, "excel")
    workbook(tmp_path / "files" / "shop.xlsx", First=[["a"], [1]], Orders=ROWS)
    tables = (table("shop.xlsx#Orders", "orders"), table("shop.xlsx", "first"))
    assert run(load(source, target.connection, *tables)).finished.failure is None
    sql = "SELECT id, price, code, mixed, day, moment, flag, gap FROM raw.orders ORDER BY id"
    first, second = target.query(sql)
    assert tuple(first) == (
        1, 0.1, "007", "1", dt.date(2024, 2, 29), dt.datetime(2024, 1, 1, 10, 30), True, None,
    )  # fmt: skip
    assert tuple(second[:4]) == (2, 3.0, 'x\n"y"', "two")
    assert target.query("SELECT a FROM raw.first") == [(1,)]


def test_workbooks_below_each_other_need_the_same_columns(tmp_path: Path) -> None:
    source = steps.files(tmp_path, "excel")
    workbook(tmp_path / "files" / "a.xlsx", S=[["id", "at"], [1, dt.datetime(2024, 1, 1)]])
    workbook(tmp_path / "files" / "b.xlsx", S=[["id", "at"], [2, dt.datetime(2024, 1, 2)]])
    step = load(source, duckdb(tmp_path), table("*.xlsx", "t", APPEND, cursor="at"))
    assert (run(step).finished.rows, run(step).finished.rows) == (2, 0)
    workbook(tmp_path / "files" / "c.xlsx", S=[["other"], [3]])
    assert run(step).code == "columns_differ"


@pytest.mark.parametrize(
    ("rows", "name", "code"),
    [
        ([["a", None, "c"], [1, 2, 3]], "x.xlsx", "header_missing"),
        ([["a", "a"], [1, 2]], "x.xlsx", "columns_collide"),
        ([[]], "x.xlsx", "header_missing"),
        ([["a"], [1]], "x.xlsx#Nope", "sheet_missing"),
        ([["a"], [1]], "text.xlsx", "file_damaged"),
    ],
)
def test_a_sheet_that_is_no_table_says_why(
    tmp_path: Path, rows: list[list[Any]], name: str, code: str
) -> None:
    source = steps.files(tmp_path, "excel")
    workbook(tmp_path / "files" / "x.xlsx", S=rows)
    (tmp_path / "files" / "text.xlsx").write_text("no workbook")
    assert run(load(source, duckdb(tmp_path), table(name, "t"))).code == code


def test_a_workbook_can_be_looked_into(tmp_path: Path) -> None:
    source = steps.files(tmp_path, "excel")
    workbook(tmp_path / "files" / "x.xlsx", S=[["id", "name"], [1, "a"], [2, "b"]])
    found: Any = perform(IntrospectAction(connection=source), tmp_path)
    assert [c.name for c in found.tables[0].columns] == ["id", "name"]
    shown: Any = perform(
        PreviewAction(connection=source, table="x.xlsx#S", columns=("name",), limit=1), tmp_path
    )
    assert (shown.rows, shown.is_truncated) == ((("a",),), True)


SHEET = "1aBcDeFgHiJkLmNoPqRsTuVwXyZ_0123456789"
VALUES: dict[str, list[list[Any]]] = {
    "'Orders'": [["id", "price", "paid", "note"], [1, 0.1, True, "a"], [2, 3], [], [3, 4, False]],
    "Orders!A1:B2": [["id", "price"], [1, 0.1]],
    "'It''s'": [["a"], ["x"]],
}


def _sheets(asked: Asked) -> Any:
    return {
        "sheets": [
            {"properties": {"title": "Orders", "gridProperties": {"rowCount": 1000}}},
            {"properties": {"title": "Chart", "sheetType": "OBJECT"}},
        ]
    }


def _allowed(asked: Asked) -> bool:
    return asked.headers.get("x-goog-api-key") == TOKEN or by_assertion(asked)


@pytest.fixture
def google(monkeypatch: pytest.MonkeyPatch) -> Iterator[SimulatedApi]:
    top = f"/v4/spreadsheets/{SHEET}"
    vendor = Vendor(
        path="", paging=lambda *_: Answer({}, 404), wrap=lambda rows: rows, allowed=_allowed,
        refusal=Answer({"error": {"code": 401}}, 401),
        others={"/token": granted, top: _sheets}
        | {f"{top}/values/{name}": lambda a, v=v: {"values": v} for name, v in VALUES.items()},
    )  # fmt: skip
    with simulated(vendor, []) as served:
        monkeypatch.setitem(CONNECTORS, "google_sheets", GoogleSheetsConnector(served.url))
        yield served


def spreadsheet(**login: str) -> ResolvedConnection:
    config = {"spreadsheet": f"https://docs.google.com/spreadsheets/d/{SHEET}/edit#gid=0"} | login
    validate_config("google_sheets", config)
    return ResolvedConnection(
        id=13, name="sheet", kind="google_sheets", config=config,
        secret_fields=("service_account", "api_key"), egress=LOCAL,
    )  # fmt: skip


@pytest.mark.parametrize("login", ["service_account", "api_key"])
def test_a_google_sheet_arrives(google: SimulatedApi, target: Target, login: str) -> None:
    source = spreadsheet(**{login: service_account() if login == "service_account" else TOKEN})
    tables = (table("Orders", "orders"), table("Orders!A1:B2", "part"), table("It's", "its"))
    assert run(load(source, target.connection, *tables)).finished.failure is None
    assert target.query("SELECT id, price, paid, note FROM raw.orders ORDER BY id") == [
        (1, 0.1, True, "a"), (2, 3.0, None, None), (3, 4.0, False, None),
    ]  # fmt: skip
    assert (target.count("raw.part"), target.count("raw.its")) == (1, 1)


def test_a_google_sheet_can_be_looked_into_and_refuses_clearly(
    google: SimulatedApi, tmp_path: Path
) -> None:
    source = spreadsheet(api_key=TOKEN)
    assert perform(ProbeAction(connection=source), tmp_path).type == "test"
    found: Any = perform(IntrospectAction(connection=source), tmp_path)
    assert [one.name for one in found.tables] == ["Orders"]
    shown: Any = perform(PreviewAction(connection=source, table="Orders", limit=1), tmp_path)
    assert shown.rows == ((1, 0.1, True, "a"),)
    for bad, name, code in (
        (spreadsheet(api_key="wr0ng-key"), "Orders", "authentication_failed"),
        (spreadsheet(), "Orders", "connection_config_invalid"),
        (source, "Nope", "sheet_missing"),
    ):
        assert run(load(bad, duckdb(tmp_path), table(name, "t"))).code == code
    with pytest.raises(Exception) as caught:
        perform(ProbeAction(connection=spreadsheet(api_key="wr0ng-key")), tmp_path)
    assert failure_of(caught.value).code == "authentication_failed"
