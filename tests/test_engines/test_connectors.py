"""Connector kinds: the file of the control plane is current, and no field is a back door."""

from __future__ import annotations

import pytest

from datanika.contracts.catalog import connector_kinds, validate_config
from datanika.engines.connectors.export import TARGET, render
from datanika.engines.connectors.registry import CONNECTORS
from datanika.errors import InvalidInput

POSTGRES = {"host": "db.example.com", "database": "d", "user": "u", "password": "p"}
REST = {"base_url": "https://a.example", "endpoints": [{"name": "a", "path": "a"}]}


SECRETS: dict[str, set[str]] = {
    "postgres": {"password"},
    "mysql": {"password"},
    "mssql": {"password"},
    "oracle": {"password"},
    "sqlite": set(),
    "duckdb": set(),
    "clickhouse": {"password"},
    "mongodb": {"password"},
    "bigquery": {"service_account"},
    "snowflake": {"password"},
    "redshift": {"password"},
    "databricks": {"token"},
    "synapse": {"password"},
    "files": set(),
    "s3": {"secret_access_key"},
    "google_sheets": {"service_account", "api_key"},
    "kafka": {"password"},
    "rest_api": {"password", "token", "api_key"},
    "openapi": {"password", "token", "api_key"},
    "stripe": {"secret_key"},
    "github": {"token"},
    "hubspot": {"token"},
    "salesforce": {"client_secret"},
    "shopify": {"token"},
    "jira": {"token"},
    "slack": {"token"},
    "zendesk": {"token"},
    "pipedrive": {"token"},
    "freshdesk": {"api_key"},
    "asana": {"token"},
    "airtable": {"token"},
    "notion": {"token"},
    "facebook_ads": {"token"},
    "google_analytics": {"service_account"},
    "google_ads": {"developer_token", "client_secret", "refresh_token"},
}


def test_the_file_of_the_control_plane_is_current() -> None:
    assert TARGET.read_text("utf-8") == render(), "run python -m datanika.engines.connectors.export"


def test_every_secret_is_write_only() -> None:
    secrets = {name: set(kind.secret_fields) for name, kind in connector_kinds().items()}
    assert secrets == SECRETS
    assert list(CONNECTORS) == list(connector_kinds())
    assert [connector.kind for connector in CONNECTORS.values()] == list(CONNECTORS)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("host", "/var/run/postgresql"),
        ("host", "a,b"),
        ("host", "h user=postgres"),
        ("database", "service=other"),
        ("database", "postgresql://x@y/z"),
        ("database", "{{ env_var('HOME') }}"),
        ("user", "u options=-cfoo"),
        ("sslmode", "allow"),
        ("service", "x"),
        ("passfile", "/etc/passwd"),
        ("options", "-c x=y"),
    ],
)
def test_libpq_tricks_are_refused(field: str, value: str) -> None:
    validate_config("postgres", POSTGRES)
    with pytest.raises(InvalidInput):
        validate_config("postgres", {**POSTGRES, field: value})


@pytest.mark.parametrize("path", ["../x.duckdb", "/tmp/x.duckdb", "md:x", "x.txt", "a/b.duckdb"])
def test_duckdb_files_stay_in_their_folder(path: str) -> None:
    with pytest.raises(InvalidInput):
        validate_config("duckdb", {"path": path})


@pytest.mark.parametrize("path", ["https://evil.example/x", "//evil.example", "a b", "\\\\evil"])
def test_an_endpoint_cannot_name_another_host(path: str) -> None:
    validate_config("rest_api", REST)
    with pytest.raises(InvalidInput):
        validate_config("rest_api", {**REST, "endpoints": [{"name": "a", "path": path}]})
