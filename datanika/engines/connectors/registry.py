"""Every connector, in the order people should see them. A file is imported when its kind is first
asked for: a load knows two kinds, and need not wait for the others."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from importlib import import_module
from typing import Any

from datanika.contracts.steps import ResolvedConnection
from datanika.engines.connectors.base import Connector
from datanika.errors import TerminalStepError

_PLACES = (
    "postgres.POSTGRES",
    "mysql.MYSQL",
    "mssql.MSSQL",
    "oracle.ORACLE",
    "sqlite.SQLITE",
    "duckdb.DUCKDB",
    "clickhouse.CLICKHOUSE",
    "mongodb.MONGODB",
    "bigquery.BIGQUERY",
    "snowflake.SNOWFLAKE",
    "redshift.REDSHIFT",
    "databricks.DATABRICKS",
    "mssql.SYNAPSE",
    "files.FILES",
    "s3.S3",
    "google_sheets.GOOGLE_SHEETS",
    "kafka.KAFKA",
    "rest_api.REST_API",
    "openapi.OPENAPI",
    "stripe.STRIPE",
    "github.GITHUB",
    "hubspot.HUBSPOT",
    "salesforce.SALESFORCE",
    "shopify.SHOPIFY",
    "jira.JIRA",
    "slack.SLACK",
    "zendesk.ZENDESK",
    "pipedrive.PIPEDRIVE",
    "freshdesk.FRESHDESK",
    "asana.ASANA",
    "airtable.AIRTABLE",
    "notion.NOTION",
    "facebook_ads.FACEBOOK_ADS",
    "google_analytics.GOOGLE_ANALYTICS",
    "google_ads.GOOGLE_ADS",
)
"""``file.NAME``; the kind is the name in small letters."""


class Connectors(MutableMapping[str, Connector[Any]]):
    """kind -> connector."""

    def __init__(self, places: tuple[str, ...]) -> None:
        self._known: dict[str, Connector[Any] | str] = {
            place.partition(".")[2].lower(): place for place in places
        }

    def __getitem__(self, kind: str) -> Connector[Any]:
        found = self._known[kind]
        if isinstance(found, str):
            file, _, name = found.partition(".")
            found = getattr(import_module(f"{__package__}.{file}"), name)
            assert isinstance(found, Connector)
            self._known[kind] = found
        return found

    def __setitem__(self, kind: str, connector: Connector[Any]) -> None:
        self._known[kind] = connector

    def __delitem__(self, kind: str) -> None:
        del self._known[kind]

    def __iter__(self) -> Iterator[str]:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)


CONNECTORS = Connectors(_PLACES)


def connector_of(connection: ResolvedConnection) -> Connector[Any]:
    """The connector of a connection; raises :class:`TerminalStepError` for an unknown kind."""
    try:
        return CONNECTORS[connection.kind]
    except KeyError:
        raise TerminalStepError(
            f"Connection {connection.name!r} is of kind {connection.kind!r}, which this worker "
            "does not know.",
            code="unknown_connection_kind",
            hint="Update the worker.",
        ) from None
