"""PostgreSQL: source, destination and home of dbt models."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from datanika.engines.connectors.base import Connector, ConnectorConfig, secret

# libpq reads "host" as a socket folder, a list or a service, and "dbname" as a whole connection
# string. Names that it could read so are refused: a connection is these fields and nothing else.
_HOST = r"^[A-Za-z0-9]([A-Za-z0-9._:-]{0,252}[A-Za-z0-9])?$"
_NAME = r"^[^\x00-\x1f\x7f=/?#&%:@'\"\\{}]{1,63}$"


class PostgresConfig(ConnectorConfig):
    host: str = Field(title="Host", pattern=_HOST, examples=["db.example.com"])
    port: int = Field(default=5432, title="Port", ge=1, le=65535)
    database: str = Field(title="Database", pattern=_NAME)
    user: str = Field(title="User", pattern=_NAME)
    password: str = secret("Password")
    sslmode: Literal["disable", "prefer", "require", "verify-full"] = Field(
        default="prefer", title="TLS"
    )


POSTGRES = Connector(
    kind="postgres",
    title="PostgreSQL",
    description="A PostgreSQL database: read tables, load into schemas, build dbt models.",
    config=PostgresConfig,
    is_source=True,
    is_destination=True,
    supports_transform=True,
)
