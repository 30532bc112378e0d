"""dbt's profile of each kind of warehouse beside PostgreSQL and DuckDB, as pure functions.

Fields are those of the adapter's own documentation and credentials class. A secret is never in the
profile: it stands in a ``DBT_ENV_SECRET_…`` variable, which dbt reads in profiles only. None of
these kinds is verified live.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from datanika.engines.connectors.oauth import GOOGLE
from datanika.errors import TerminalStepError

SECRET = "DBT_ENV_SECRET_"
CONNECT_SECONDS = 20


@dataclass(frozen=True)
class Profile:
    """dbt's output without ``schema`` and ``threads``, and the variables that it refers to."""

    output: dict[str, Any]
    variables: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Adapter:
    """``module``: what dbt imports; ``extra``: of the package, brings it. ``resolves``: the driver
    resolves names in Python, so that they can be judged there; else it is given an address."""

    module: str
    extra: str
    profile: Callable[[Mapping[str, Any]], Profile]
    resolves: bool = True


def secret(name: str) -> str:
    """What dbt reads ``name`` by."""
    return f"{{{{ env_var('{SECRET}{name}') }}}}"


def redshift(config: Mapping[str, Any]) -> Profile:
    """https://docs.getdbt.com/docs/core/connect-data-platform/redshift-setup"""
    return Profile(
        {
            "type": "redshift",
            "method": "database",
            "host": config["host"],
            "port": config.get("port", 5439),
            "user": config["user"],
            "password": secret("PASSWORD"),
            "dbname": config["database"],
            "sslmode": "require",
            "connect_timeout": CONNECT_SECONDS,
            "retries": 1,
        },
        {SECRET + "PASSWORD": config["password"]},
    )


def snowflake(config: Mapping[str, Any]) -> Profile:
    """https://docs.getdbt.com/docs/core/connect-data-platform/snowflake-setup"""
    named = {name: config[name] for name in ("role", "warehouse") if config.get(name)}
    return Profile(
        {
            "type": "snowflake",
            "account": config["account"],
            "user": config["user"],
            "password": secret("PASSWORD"),
            "database": config["database"],
            **named,
            "client_session_keep_alive": False,
            "query_tag": "datanika",
            "connect_timeout": CONNECT_SECONDS,
            "connect_retries": 1,
        },
        {SECRET + "PASSWORD": config["password"]},
    )


_KEY_FIELDS = ("type", "project_id", "private_key_id", "client_email", "client_id")


def bigquery(config: Mapping[str, Any]) -> Profile:
    """https://docs.getdbt.com/docs/core/connect-data-platform/bigquery-setup

    ``dataset`` is the step's schema, which takes the place of the connection's.
    """
    try:
        key = json.loads(config["service_account"])
        private, shown = (
            key["private_key"],
            {name: key[name] for name in _KEY_FIELDS if name in key},
        )
    except (ValueError, TypeError, KeyError):
        raise TerminalStepError(
            "The service account key is not one: it must be the JSON file that Google made.",
            code="connection_config_invalid",
            field="config.service_account",
        ) from None
    return Profile(
        {
            "type": "bigquery",
            "method": "service-account-json",
            "project": config["project"],
            "location": config.get("location", "EU"),
            # Where the token comes from is not the tenant's to say.
            "keyfile_json": {**shown, "private_key": secret("PRIVATE_KEY"), "token_uri": GOOGLE},
            "priority": "interactive",
            "job_retries": 1,
        },
        {SECRET + "PRIVATE_KEY": private},
    )


def databricks(config: Mapping[str, Any]) -> Profile:
    """https://docs.getdbt.com/docs/core/connect-data-platform/databricks-setup"""
    return Profile(
        {
            "type": "databricks",
            "catalog": config.get("catalog", "main"),
            "host": config["host"],
            "http_path": config["http_path"],
            "token": secret("TOKEN"),
            "connect_timeout": CONNECT_SECONDS,
            "connect_retries": 1,
            "session_properties": {"timezone": "UTC"},
        },
        {SECRET + "TOKEN": config["token"]},
    )


def clickhouse(config: Mapping[str, Any]) -> Profile:
    """https://clickhouse.com/docs/integrations/dbt: HTTP, with schemas as ClickHouse's databases"""
    return Profile(
        {
            "type": "clickhouse",
            "driver": "http",
            "host": config["host"],
            "port": config.get("port", 8443),
            "user": config.get("user", "default"),
            "password": secret("PASSWORD"),
            "secure": config.get("tls", True),
            "verify": config.get("tls", True),
            "connect_timeout": CONNECT_SECONDS,
            "retries": 1,
        },
        {SECRET + "PASSWORD": config["password"]},
    )


def sqlserver(config: Mapping[str, Any]) -> Profile:
    """https://docs.getdbt.com/docs/core/connect-data-platform/mssql-setup

    The ODBC driver resolves names itself: give it an address for ``host``, of which it can check no
    certificate, as the connection's own reader does not either.
    """
    return Profile(
        {
            "type": "sqlserver",
            "driver": "ODBC Driver 18 for SQL Server",
            "server": config["host"],
            "port": config.get("port", 1433),
            "database": config["database"],
            "user": config["user"],
            "password": secret("PASSWORD"),
            "authentication": "sql",
            "encrypt": config.get("encryption", "require") != "off",
            "trust_cert": True,
            "login_timeout": CONNECT_SECONDS,
            "retries": 1,
        },
        {SECRET + "PASSWORD": config["password"]},
    )


ADAPTERS: dict[str, Adapter] = {
    "redshift": Adapter("dbt.adapters.redshift", "dbt-redshift", redshift),
    "snowflake": Adapter("dbt.adapters.snowflake", "dbt-snowflake", snowflake),
    "bigquery": Adapter("dbt.adapters.bigquery", "dbt-bigquery", bigquery),
    "databricks": Adapter("dbt.adapters.databricks", "dbt-databricks", databricks),
    "clickhouse": Adapter("dbt.adapters.clickhouse", "dbt-clickhouse", clickhouse),
    "mssql": Adapter("dbt.adapters.sqlserver", "dbt-sqlserver", sqlserver, resolves=False),
}
"""By kind of connection."""
