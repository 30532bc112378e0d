"""Objects of an S3 store: listed, fetched and read; requests signed as AWS's own library signs."""

from __future__ import annotations

import datetime as dt
import gzip
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from datanika.contracts.ad_hoc import IntrospectAction, PreviewAction, ProbeAction
from datanika.contracts.steps import ResolvedConnection
from datanika.engines.ad_hoc.perform import perform
from datanika.engines.dlt_engine.sources.s3 import Keys, signed
from datanika.engines.failures import failure_of
from tests.support.net import free_port
from tests.test_engines.steps import APPEND, LOCAL, duckdb, load, run, table
from tests.test_engines.targets import Target, ask_duckdb

SECRET = "canary/secret+access=key"


@pytest.fixture(scope="module")
def store() -> Iterator[str]:
    """moto's S3 server with a bucket; its address."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                requests.put(f"{url}/shop-data", timeout=5).close()
                break
            except requests.ConnectionError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)
        yield url
    finally:
        process.terminate()
        process.wait(30)


def put(store: str, key: str, content: bytes) -> None:
    requests.put(f"{store}/shop-data/{key}", data=content, timeout=10).close()


def connection(store: str, format: str = "csv", **changes: Any) -> ResolvedConnection:
    config = {
        "endpoint": store, "bucket": "shop-data", "format": format,
        "access_key_id": "AKIAEXAMPLE", "secret_access_key": SECRET,
    }  # fmt: skip
    return ResolvedConnection(
        id=12, name="lake", kind="s3", config=config | changes,
        secret_fields=("secret_access_key",), egress=LOCAL,
    )  # fmt: skip


@pytest.mark.parametrize("query", ["", "list-type=2&prefix=a%20b%2F%C3%A9"])
def test_a_request_is_signed_as_awss_own_library_does(query: str) -> None:
    from botocore.auth import S3SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    now = dt.datetime.now(dt.UTC)
    url = "https://s3.eu-west-1.amazonaws.com/bucket/a%20b/%C3%A9.csv" + (
        f"?{query}" if query else ""
    )
    theirs = AWSRequest("GET", url)
    theirs.headers["X-Amz-Content-SHA256"] = (
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    )
    S3SigV4Auth(Credentials("AKIA", SECRET), "s3", "eu-west-1").add_auth(theirs)
    stamp = theirs.context["timestamp"]
    then = dt.datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=dt.UTC)
    assert abs((then - now).total_seconds()) < 5
    ours = signed(
        "s3.eu-west-1.amazonaws.com", "/bucket/a%20b/%C3%A9.csv", query,
        Keys("AKIA", SECRET, "eu-west-1"), then,
    )  # fmt: skip
    assert ours["Authorization"] == theirs.headers["Authorization"]


def test_objects_of_a_glob_become_one_table(target: Target, store: str) -> None:
    put(store, "g/2024/a.csv", b"id,price\n1,0.10\n")
    put(store, "g/2024/b%20%C3%A9.csv", b"id,price\n2,0.20\n")
    put(store, "g/2024/deep/c.csv", b"id,price\n3,0.30\n")
    put(store, "g/2025/d.csv.gz", gzip.compress(b"id,price\n4,0.40\n"))
    tables = (table("g/2024/*.csv", "flat"), table("g/2025/*", "zipped"))
    out = run(load(connection(store), target.connection, *tables))
    assert out.code is None
    assert target.query("SELECT id, price::text FROM raw.flat ORDER BY id") == [
        (1, "0.100000000"), (2, "0.200000000"),
    ]  # fmt: skip
    assert target.query("SELECT id FROM raw.zipped") == [(4,)]


def test_more_objects_than_one_answer_lists_are_all_read(store: str, tmp_path: Path) -> None:
    for number in range(1005):
        put(store, f"many/{number}.csv", f"id\n{number}\n".encode())
    out = run(load(connection(store), duckdb(tmp_path), table("many/*.csv", "many")))
    assert (out.code, out.finished.rows) == (None, 1005)


def test_a_cursor_reads_new_objects_rows_once(store: str, tmp_path: Path) -> None:
    put(store, "log/1.jsonl", b'{"id": 1, "at": "2024-01-01T00:00:00"}\n')
    step = load(
        connection(store, "jsonl"), duckdb(tmp_path), table("log/*", "log", APPEND, cursor="at")
    )
    assert run(step).code is None
    put(store, "log/2.jsonl", b'{"id": 2, "at": "2024-01-02T00:00:00"}\n')
    assert run(step).finished.rows == 1
    assert ask_duckdb(tmp_path)("SELECT id FROM raw.log ORDER BY 1") == [(1,), (2,)]


def test_what_there_is_can_be_seen(store: str, tmp_path: Path) -> None:
    put(store, "seen/x.csv", b"id,name\n1,a\n2,b\n")
    source = connection(store)
    assert perform(ProbeAction(connection=source), tmp_path).type == "test"
    found: Any = perform(IntrospectAction(connection=source, search="seen"), tmp_path)
    assert [(one.name, one.kind, one.bytes) for one in found.tables] == [("seen/x.csv", "file", 16)]
    shown: Any = perform(PreviewAction(connection=source, table="seen/x.csv", limit=1), tmp_path)
    assert (shown.rows, shown.is_truncated) == (((1, "a"),), True)


@pytest.mark.parametrize(
    ("changes", "name", "code"),
    [
        ({"bucket": "nothing-here"}, "a.csv", "bucket_missing"),
        ({}, "nothing/*.csv", "file_missing"),
        ({"secret_access_key": None}, "a.csv", "connection_config_invalid"),
        ({"endpoint": "http://127.0.0.1:1"}, "a.csv", "host_unreachable"),
    ],
)
def test_what_does_not_work_says_why(
    store: str, tmp_path: Path, changes: dict[str, Any], name: str, code: str
) -> None:
    out = run(load(connection(store, **changes), duckdb(tmp_path), table(name, "t")))
    assert out.code == code
    assert SECRET not in repr(out)


def test_egress_is_asked_first(store: str, tmp_path: Path) -> None:
    closed = connection(store).model_copy(update={"egress": type(LOCAL)()})
    with pytest.raises(Exception) as caught:
        perform(ProbeAction(connection=closed), tmp_path)
    assert failure_of(caught.value).code == "egress_refused"
