"""PostgreSQL: source, destination and home of dbt models."""

from __future__ import annotations

import contextlib
import socket
from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from datanika.contracts.steps import ResolvedConnection
from datanika.egress.guard import EgressGuard
from datanika.engines.connectors.base import Connector, ConnectorConfig, secret

# libpq reads "host" as a socket folder, a list or a service, and "dbname" as a whole connection
# string. Names that it could read so are refused: a connection is these fields and nothing else.
_HOST = (
    r"^([A-Za-z0-9_]([A-Za-z0-9._-]{0,251}[A-Za-z0-9_])?"
    r"|[0-9A-Fa-f]{0,4}(:[0-9A-Fa-f.]{0,15}){2,8})$"
)
_NAME = r"^[^\x00-\x1f\x7f=/?#&%:@'\"\\{}]{1,63}$"

TRY_SECONDS = 5.0


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


@dataclass(frozen=True)
class PostgresTarget:
    """A database that may be connected to, at ``address`` and at no other.

    The address goes to libpq as ``hostaddr``; the host stays what certificates are checked for.
    """

    config: PostgresConfig
    address: str
    privileged_roles: bool = False


def locate(connection: ResolvedConnection) -> PostgresTarget:
    """Where ``connection`` leads now, judged by its egress policy.

    Raises :class:`TerminalStepError` for a bad field, :class:`EgressRefused`, and OSError for a
    name without an address.
    """
    config: PostgresConfig = POSTGRES.parse(connection)
    addresses = EgressGuard(connection.egress).check(config.host, config.port, config.database)
    return PostgresTarget(
        config, _answering(addresses, config.port), connection.egress.privileged_roles
    )


def _answering(addresses: tuple[str, ...], port: int) -> str:
    """The first of several addresses that takes a connection, as libpq would try a name's."""
    for address in addresses[:-1]:
        with contextlib.suppress(OSError):
            socket.create_connection((address, port), timeout=TRY_SECONDS).close()
            return address
    return addresses[-1]
