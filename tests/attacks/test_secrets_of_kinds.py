"""Trust T11 for all other kinds: a server that nobody answers at, or that says what it was sent."""

from __future__ import annotations

import gc
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from datanika.contracts.catalog import connector_kinds
from datanika.contracts.steps import ResolvedConnection
from datanika.engines.connectors import mongodb
from datanika.engines.connectors.registry import CONNECTORS
from tests.attacks.test_secrets_in_failures import everything_said
from tests.attacks.ways_to_fail import WAYS
from tests.support.leaks import leaks, new_canary
from tests.support.simulated_api import Answer, Asked, Vendor, simulated
from tests.test_engines.saas_cases import CASES, service_account
from tests.test_engines.steps import LOCAL

pytestmark = pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning",
    "ignore:(read|open)_text is deprecated:DeprecationWarning",
)  # fmt: skip

SERVER: dict[str, Any] = {"host": "127.0.0.1", "port": 1, "database": "d", "user": "u"}
CONFIGS: dict[str, dict[str, Any]] = {
    "mysql": SERVER, "mssql": SERVER, "synapse": SERVER, "redshift": SERVER,
    "clickhouse": SERVER | {"tls": False}, "mongodb": SERVER | {"tls": False},
    "oracle": {"host": "127.0.0.1", "port": 1, "service_name": "s", "user": "u"},
    "kafka": {"host": "127.0.0.1", "port": 1, "mechanism": "PLAIN", "user": "u"},
    "snowflake": {"account": "a-b", "user": "u", "database": "d"},
    "databricks": {"host": "127.0.0.1", "http_path": "/sql/1"},
    "bigquery": {"project": "my-project", "dataset": "d"},
    "s3": {"endpoint": "{url}", "bucket": "shop-data", "format": "csv", "access_key_id": "AKIA"},
    "google_sheets": {"spreadsheet": "1aBcDeFgHiJkLmNoPqRsTuVwXyZ"},
    "openapi": {
        "auth": "bearer", "base_url": "{url}",
        "document": json.dumps({"openapi": "3.0.0", "paths": {"/items": {"get": {"responses": {
            "200": {"content": {"application/json": {"schema": {"type": "array", "items": {}}}}}
        }}}}}),
    },
} | {case.kind: case.config for case in CASES}  # fmt: skip


def _echo(asked: Asked, *_: Any) -> Answer:
    return Answer({"error": repr((asked.headers, asked.query, asked.body))}, 400)


@pytest.fixture(autouse=True)
def _collect() -> Iterator[None]:
    yield
    gc.collect()


def test_every_kind_with_a_secret_is_tried() -> None:
    with_secrets = {name for name, kind in connector_kinds().items() if kind.secret_fields}
    assert set(CONFIGS) | set(WAYS) == with_secrets


@pytest.mark.parametrize("kind", sorted(set(CONFIGS) - set(WAYS)))
def test_no_failure_gives_the_credential_away(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mongodb, "WAIT_MILLISECONDS", 300)
    vendor = Vendor("/", _echo, lambda rows: rows, lambda asked: False, Answer({}))
    with simulated(vendor, []) as api:
        monkeypatch.setattr(api, "answer", _echo)
        if hasattr(CONNECTORS[kind], "base_url"):
            monkeypatch.setitem(CONNECTORS, kind, type(CONNECTORS[kind])(base_url=api.url))  # type: ignore[call-arg]
        canaries = {name: new_canary("canary-{}") for name in connector_kinds()[kind].secret_fields}
        config = {
            name: value.replace("{url}", api.url) if name in ("endpoint", "base_url") else value
            for name, value in CONFIGS[kind].items()
        }
        for name, canary in canaries.items():
            key = json.loads(service_account()) | {"private_key_id": canary}
            config[name] = json.dumps(key) if name == "service_account" else canary
        one = ResolvedConnection(
            id=50, name=kind, kind=kind, config=config, egress=LOCAL,
            secret_fields=connector_kinds()[kind].secret_fields,
        )  # fmt: skip
        said = everything_said(one, tmp_path)
    assert said
    for canary in canaries.values():
        assert not leaks(canary, "".join(said.values()))
