"""Every connector, in the order people should see them."""

from __future__ import annotations

from typing import Any

from datanika.contracts.steps import ResolvedConnection
from datanika.engines.connectors.airtable import AIRTABLE
from datanika.engines.connectors.asana import ASANA
from datanika.engines.connectors.base import Connector
from datanika.engines.connectors.bigquery import BIGQUERY
from datanika.engines.connectors.clickhouse import CLICKHOUSE
from datanika.engines.connectors.databricks import DATABRICKS
from datanika.engines.connectors.duckdb import DUCKDB
from datanika.engines.connectors.facebook_ads import FACEBOOK_ADS
from datanika.engines.connectors.files import FILES
from datanika.engines.connectors.freshdesk import FRESHDESK
from datanika.engines.connectors.github import GITHUB
from datanika.engines.connectors.google_ads import GOOGLE_ADS
from datanika.engines.connectors.google_analytics import GOOGLE_ANALYTICS
from datanika.engines.connectors.google_sheets import GOOGLE_SHEETS
from datanika.engines.connectors.hubspot import HUBSPOT
from datanika.engines.connectors.jira import JIRA
from datanika.engines.connectors.kafka import KAFKA
from datanika.engines.connectors.mongodb import MONGODB
from datanika.engines.connectors.mssql import MSSQL, SYNAPSE
from datanika.engines.connectors.mysql import MYSQL
from datanika.engines.connectors.notion import NOTION
from datanika.engines.connectors.openapi import OPENAPI
from datanika.engines.connectors.oracle import ORACLE
from datanika.engines.connectors.pipedrive import PIPEDRIVE
from datanika.engines.connectors.postgres import POSTGRES
from datanika.engines.connectors.redshift import REDSHIFT
from datanika.engines.connectors.rest_api import REST_API
from datanika.engines.connectors.s3 import S3
from datanika.engines.connectors.salesforce import SALESFORCE
from datanika.engines.connectors.shopify import SHOPIFY
from datanika.engines.connectors.slack import SLACK
from datanika.engines.connectors.snowflake import SNOWFLAKE
from datanika.engines.connectors.sqlite import SQLITE
from datanika.engines.connectors.stripe import STRIPE
from datanika.engines.connectors.zendesk import ZENDESK
from datanika.errors import TerminalStepError

CONNECTORS: dict[str, Connector[Any]] = {
    connector.kind: connector
    for connector in (
        POSTGRES,
        MYSQL,
        MSSQL,
        ORACLE,
        SQLITE,
        DUCKDB,
        CLICKHOUSE,
        MONGODB,
        BIGQUERY,
        SNOWFLAKE,
        REDSHIFT,
        DATABRICKS,
        SYNAPSE,
        FILES,
        S3,
        GOOGLE_SHEETS,
        KAFKA,
        REST_API,
        OPENAPI,
        STRIPE,
        GITHUB,
        HUBSPOT,
        SALESFORCE,
        SHOPIFY,
        JIRA,
        SLACK,
        ZENDESK,
        PIPEDRIVE,
        FRESHDESK,
        ASANA,
        AIRTABLE,
        NOTION,
        FACEBOOK_ADS,
        GOOGLE_ANALYTICS,
        GOOGLE_ADS,
    )
}


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
