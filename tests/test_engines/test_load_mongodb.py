"""MongoDB's documents as rows, against PyMongo's interface (mongomock)."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mongomock
import pytest
from bson import Binary, Decimal128, Int64, ObjectId

from datanika.contracts.ad_hoc import IntrospectAction, PreviewAction, ProbeAction
from datanika.contracts.steps import ResolvedConnection
from datanika.engines.ad_hoc.perform import perform
from datanika.engines.connectors.mongodb import MongodbConnector, row_of
from datanika.engines.connectors.registry import CONNECTORS
from datanika.engines.failures import failure_of
from tests.support.net import free_port
from tests.test_engines.steps import APPEND, LOCAL, MERGE, duckdb, load, run, table
from tests.test_engines.targets import Target, ask_duckdb


class Client(mongomock.MongoClient):  # type: ignore[misc]
    """It stays when a reader closes it."""

    def close(self) -> None:
        pass


@pytest.fixture
def shop(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    client = Client(tz_aware=True)
    monkeypatch.setitem(CONNECTORS, "mongodb", MongodbConnector(lambda config: client))
    yield client["shop"]


def connection(**changes: Any) -> ResolvedConnection:
    config = {"host": "127.0.0.1", "database": "shop", "tls": False} | changes
    return ResolvedConnection(
        id=21, name="mongo", kind="mongodb", config=config, secret_fields=("password",),
        egress=LOCAL,
    )  # fmt: skip


def test_values_keep_what_they_are() -> None:
    key = ObjectId("65a000000000000000000001")
    row = row_of(
        {
            "_id": key, "n": Int64(2**53 + 1), "price": Decimal128("0.10"), "nan": float("nan"),
            "huge": Decimal128("1E+6000"), "at": dt.datetime(2024, 1, 1, tzinfo=dt.UTC),
            "raw": Binary(b"\x00\xff"), "empty": "", "none": None, "flag": True,
            "who": uuid.UUID(int=1),
            "deep": {
                "at": dt.datetime(2024, 1, 1), "raw": b"\x00", "list": [key, Decimal128("1.5")],
            },
        }
    )  # fmt: skip
    assert str(row.pop("price")) == "0.10"
    assert row == {
        "_id": str(key), "n": 2**53 + 1, "nan": "nan", "huge": "1E+6000",
        "at": "2024-01-01T00:00:00.000+00:00", "raw": b"\x00\xff", "empty": "", "none": None,
        "flag": True, "who": str(uuid.UUID(int=1)),
        "deep": {"at": "2024-01-01T00:00:00.000+00:00", "raw": "AA==", "list": [str(key), "1.5"]},
    }  # fmt: skip


def test_a_collection_arrives_once(target: Target, shop: Any) -> None:
    shop.orders.insert_many({"n": n, "lines": [{"sku": "a"}], "note": ""} for n in range(2500))
    for _ in range(2):
        out = run(load(connection(), target.connection, table("orders", "orders", MERGE, ("_id",))))
        assert out.finished.failure is None
    assert target.query("SELECT count(*), count(DISTINCT n), sum(n) FROM raw.orders") == [
        (2500, 2500, 2499 * 1250)
    ]
    assert target.query("SELECT count(*) FROM raw.orders WHERE note = ''") == [(2500,)]


@pytest.mark.parametrize("column", ["_id", "at", "n"])
def test_a_cursor_asks_for_new_documents(shop: Any, tmp_path: Path, column: str) -> None:
    def document(n: int) -> dict[str, Any]:
        at = dt.datetime(2024, 1, 1, tzinfo=dt.UTC) + dt.timedelta(seconds=n)
        return {"_id": ObjectId(f"{n:024x}"), "n": n, "at": at}

    shop.log.insert_many(document(n) for n in range(3))
    step = load(connection(), duckdb(tmp_path), table("log", "log", APPEND, cursor=column))
    assert run(step).finished.failure is None
    shop.log.insert_many(document(n) for n in range(3, 5))
    second = run(step)
    assert (second.code, second.finished.rows, run(step).finished.rows) == (None, 2, 0)
    assert ask_duckdb(tmp_path)("SELECT count(*), count(DISTINCT n) FROM raw.log") == [(5, 5)]


def test_what_there_is_can_be_seen(shop: Any, tmp_path: Path) -> None:
    shop.orders.insert_many([{"_id": 1, "a": "x"}, {"_id": 2, "a": 5}])
    assert perform(ProbeAction(connection=connection()), tmp_path).type == "test"
    found: Any = perform(IntrospectAction(connection=connection()), tmp_path)
    (orders,) = found.tables
    assert [(c.name, c.data_type) for c in orders.columns] == [("_id", "int"), ("a", "int or str")]
    shown: Any = perform(
        PreviewAction(connection=connection(), table="orders", columns=("a",), limit=1), tmp_path
    )
    assert (shown.rows, shown.is_truncated) == ((("x",),), True)
    missing = run(load(connection(), duckdb(tmp_path), table("nothing", "t")))
    assert missing.code == "table_missing"


def test_a_real_client_says_that_nobody_is_there_and_asks_egress_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from datanika.engines.connectors import mongodb

    monkeypatch.setattr(mongodb, "WAIT_MILLISECONDS", 500)
    for source, code in (
        (connection(port=free_port()), "host_unreachable"),
        (connection().model_copy(update={"egress": type(LOCAL)()}), "egress_refused"),
    ):
        with pytest.raises(Exception) as caught:
            perform(ProbeAction(connection=source), tmp_path)
        assert failure_of(caught.value).code == code
