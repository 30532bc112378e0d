"""The profile of each adapter has fields that the adapter knows, and no secret in it."""

from __future__ import annotations

import importlib
import json
import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from datanika.contracts.catalog import connector_kind
from datanika.contracts.egress import EgressPolicy, Networks
from datanika.contracts.spec import TransformStep
from datanika.contracts.steps import ResolvedConnection, ResolvedTransform
from datanika.engines.dbt_engine import profile as profiles
from datanika.engines.dbt_engine.adapters import ADAPTERS
from datanika.errors import EgressRefused, TerminalStepError

CANARY = "s3cret-canary-19f"
CONFIGS: dict[str, dict[str, Any]] = {
    "redshift": {"host": "127.0.0.1", "database": "dev", "user": "u", "password": CANARY},
    "snowflake": {
        "account": "org-acc", "user": "u", "password": CANARY, "database": "DB", "warehouse": "WH",
        "role": "R",
    },
    "bigquery": {
        "project": "my-project", "dataset": "d", "location": "US",
        "service_account": json.dumps({
            "type": "service_account", "project_id": "my-project", "private_key_id": "k",
            "private_key": CANARY, "client_email": "a@b.c", "client_id": "1",
            "token_uri": "http://evil.example/token", "universe_domain": "evil.example",
        }),
    },
    "databricks": {"host": "127.0.0.1", "http_path": "/sql/1.0/warehouses/a", "token": CANARY},
    "clickhouse": {"host": "127.0.0.1", "user": "u", "password": CANARY},
    "mssql": {"host": "127.0.0.1", "database": "d", "user": "u", "password": CANARY},
}  # fmt: skip
# The fields of the credentials class of each adapter with its aliases, and those it needs.
COMMON = {"type", "schema", "threads"}
FIELDS: dict[str, tuple[str, set[str], set[str]]] = {
    "redshift": (
        "redshift",
        {"host", "port", "method", "user", "password", "dbname", "sslmode", "connect_timeout",
         "retries", "region", "ra3_node", "autocommit", "role"},
        {"host", "port", "user", "password", "dbname"},
    ),
    "snowflake": (
        "snowflake",
        {"account", "user", "password", "database", "warehouse", "role", "query_tag",
         "client_session_keep_alive", "connect_retries", "connect_timeout", "reuse_connections"},
        {"account", "user", "password", "database"},
    ),
    "bigquery": (
        "bigquery",
        {"method", "project", "location", "keyfile_json", "priority", "job_retries",
         "maximum_bytes_billed", "job_execution_timeout_seconds"},
        {"method", "project", "keyfile_json"},
    ),
    "databricks": (
        "databricks",
        {"catalog", "host", "http_path", "token", "connect_retries", "connect_timeout",
         "session_properties", "connection_parameters"},
        {"catalog", "host", "http_path", "token"},
    ),
    "clickhouse": (
        "clickhouse",
        {"driver", "host", "port", "user", "password", "secure", "verify", "connect_timeout",
         "retries", "send_receive_timeout", "custom_settings", "use_lw_deletes"},
        {"driver", "host", "port", "user", "password"},
    ),
    "mssql": (
        "sqlserver",
        {"driver", "server", "port", "database", "user", "password", "authentication", "encrypt",
         "trust_cert", "login_timeout", "query_timeout", "retries"},
        {"driver", "server", "port", "database", "user", "password", "authentication"},
    ),
}  # fmt: skip


def step(kind: str, **config: Any) -> ResolvedTransform:
    connection = ResolvedConnection(
        id=3,
        name="elsewhere",
        kind=kind,
        config=CONFIGS[kind] | config,
        egress=EgressPolicy(networks=Networks.LOCAL),
    )
    return ResolvedTransform(
        run_id=1,
        attempt=1,
        step=TransformStep(key="t", destination_id=3, default_schema="marts", threads=3),
        destination=connection,
        project_name="org1",
        files={},
    )


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if each adapter were there."""
    monkeypatch.setattr(profiles, "driver", lambda module, extra: None)


def test_every_kind_that_transforms_has_a_profile() -> None:
    kinds = {kind for kind in CONFIGS if connector_kind(kind).supports_transform}
    assert kinds == set(ADAPTERS) == set(FIELDS)
    assert not any(connector_kind(kind).verified_live for kind in kinds)


@pytest.mark.parametrize("kind", sorted(ADAPTERS))
def test_a_profile_has_the_fields_of_its_adapter_and_no_secret(kind: str, tmp_path: Path) -> None:
    before = dict(os.environ)
    with profiles.written_profile(step(kind), tmp_path):
        text = (tmp_path / "profiles.yml").read_text()
        variables = {name: value for name, value in os.environ.items() if before.get(name) != value}
    output = yaml.safe_load(text)["org1"]["outputs"]["datanika"]
    adapter, known, needed = FIELDS[kind]

    assert (output["type"], output["schema"], output["threads"]) == (adapter, "marts", 3)
    assert needed <= output.keys() <= known | COMMON
    assert CANARY not in text and "evil.example" not in text
    assert CANARY in variables.values(), "dbt reads it from a variable"
    assert all(name in text for name in variables)
    assert dict(os.environ) == before


@pytest.mark.parametrize("kind", sorted(ADAPTERS))
def test_a_profile_for_compiling_has_no_secret_anywhere(kind: str, tmp_path: Path) -> None:
    before = dict(os.environ)
    with profiles.written_profile(step(kind), tmp_path, offline=True):
        text = (tmp_path / "profiles.yml").read_text()
        changed = [value for name, value in os.environ.items() if before.get(name) != value]
    assert CANARY not in text and CANARY not in changed
    assert "127.0.0.1" not in text


@pytest.mark.parametrize("kind", sorted(ADAPTERS))
def test_the_installed_adapter_takes_the_profile(kind: str, tmp_path: Path) -> None:
    """Only where its package is there: it is an extra."""
    pytest.importorskip(ADAPTERS[kind].module)
    from dbt.adapters.factory import FACTORY

    with profiles.written_profile(step(kind), tmp_path):
        text = (tmp_path / "profiles.yml").read_text()
    output = yaml.safe_load(text)["org1"]["outputs"]["datanika"]
    credentials = FACTORY.load_plugin(output.pop("type"))
    output.pop("threads")
    data = credentials.translate_aliases(output)
    credentials.validate(data)
    assert credentials.from_dict(data).schema == "marts"


def test_a_worker_without_the_adapter_says_which_extra_brings_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()

    def missing(name: str, package: str | None = None) -> Any:
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", missing)
    with (
        pytest.raises(TerminalStepError, match="no driver") as caught,
        profiles.written_profile(step("snowflake"), tmp_path),
    ):
        pass
    assert (caught.value.code, "datanika[dbt-snowflake]" in str(caught.value.hint)) == (
        "connector_extra_missing",
        True,
    )


def test_a_host_that_is_not_allowed_is_refused(tmp_path: Path) -> None:
    public = EgressPolicy(networks=Networks.PUBLIC)
    refused = step("mssql")
    refused = refused.model_copy(
        update={"destination": refused.destination.model_copy(update={"egress": public})}
    )
    with (
        pytest.raises(EgressRefused),
        profiles.written_profile(refused, tmp_path),
    ):
        pass
