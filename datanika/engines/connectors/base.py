"""What every connector is: a kind's name, its configuration and what it can be.

A kind is one file here and one line in ``registry.py``. The configuration is a pydantic model
with flat fields; secrets are marked :func:`secret`. Its JSON schema goes to the control plane as
data (``contracts/connector_kinds.json``), so validation there is exactly what the schema says.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from datanika.contracts.catalog import ConnectorKind
from datanika.contracts.steps import ResolvedConnection
from datanika.errors import TerminalStepError


class ConnectorConfig(BaseModel):
    """Configuration of one kind; unknown fields are refused (no DSN tricks through extras)."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


def secret(title: str, description: str = "", default: Any = ...) -> Any:
    """A field whose value is encrypted at rest and never shown again."""
    return Field(
        default=default,
        title=title,
        description=description or None,
        repr=False,
        json_schema_extra={"writeOnly": True},
    )


@dataclass(frozen=True)
class Connector[C: ConnectorConfig]:
    """One kind of connection."""

    kind: str
    title: str
    description: str
    config: type[C]
    is_source: bool = False
    is_destination: bool = False
    supports_transform: bool = False

    def describe(self) -> ConnectorKind:
        """The kind as data for the control plane."""
        return ConnectorKind(
            kind=self.kind,
            title=self.title,
            description=self.description,
            is_source=self.is_source,
            is_destination=self.is_destination,
            supports_transform=self.supports_transform,
            config_schema=self.config.model_json_schema(),
        )

    def parse(self, connection: ResolvedConnection) -> C:
        """The typed configuration; raises :class:`TerminalStepError` naming the field."""
        try:
            return self.config.model_validate(connection.config)
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            field = ".".join(str(part) for part in first["loc"])
            raise TerminalStepError(
                f"Connection {connection.name!r}: {field} is not valid ({first['msg']}).",
                code="connection_config_invalid",
                field=f"config.{field}",
                hint="Open the connection and correct this field.",
            ) from None
