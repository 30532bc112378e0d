"""Connector kinds as data, so that the control plane never imports an engine.

``connector_kinds.json`` is generated from ``engines/connectors`` by
``python -m datanika.engines.connectors.export`` and a test keeps it current.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from typing import Any

from pydantic import Field

from datanika.contracts.base import Contract
from datanika.errors import InvalidInput


class ConnectorKind(Contract):
    """One kind of connection: what it can be and the JSON schema of its configuration."""

    kind: str
    title: str
    description: str = ""
    is_source: bool
    is_destination: bool
    supports_transform: bool = False
    gives_changes: bool = Field(
        default=False, description="As a source: its tables can be synced by CDC."
    )
    takes_changes: bool = Field(
        default=False, description="As a destination: tables that are synced by CDC can come here."
    )
    verified_live: bool = True
    docs: str = Field(default="", description="Markdown: what its tables and values become.")
    config_schema: dict[str, Any] = Field(description="JSON schema; secrets are writeOnly.")

    @property
    def secret_fields(self) -> tuple[str, ...]:
        """Names of the top-level fields that hold secrets."""
        properties: dict[str, dict[str, Any]] = self.config_schema.get("properties", {})
        return tuple(name for name, prop in properties.items() if prop.get("writeOnly"))


@cache
def connector_kinds() -> dict[str, ConnectorKind]:
    """Every kind by name, in the order people should see them."""
    text = files("datanika.contracts").joinpath("connector_kinds.json").read_text("utf-8")
    return {item["kind"]: ConnectorKind.model_validate(item) for item in json.loads(text)}


def connector_kind(name: str) -> ConnectorKind:
    """The kind called ``name``; raises :class:`InvalidInput` listing what exists."""
    try:
        return connector_kinds()[name]
    except KeyError:
        raise InvalidInput(
            f"There is no connection kind {name!r}.",
            code="unknown_connection_kind",
            field="kind",
            hint=f"Use one of: {', '.join(connector_kinds())}.",
        ) from None


@cache
def _validator() -> Any:
    """JSON schema whose ``$`` is the end of the text, as in the standard and in the engines.

    Python's also matches before a line break at the end, which libpq would be given.
    """
    import jsonschema

    def pattern(validator: Any, pattern: str, text: Any, schema: Any) -> Iterator[Any]:
        if isinstance(text, str) and not re.search(re.sub(r"(?<!\\)\$$", r"\\Z", pattern), text):
            yield jsonschema.ValidationError(f"{text!r} does not match {pattern!r}")

    return jsonschema.validators.extend(jsonschema.Draft202012Validator, {"pattern": pattern})


def validate_config(kind: str, config: dict[str, Any]) -> None:
    """Check ``config`` against the kind's schema; raises :class:`InvalidInput` with the field."""
    import jsonschema

    validator = _validator()(connector_kind(kind).config_schema)
    error = jsonschema.exceptions.best_match(validator.iter_errors(config))
    if error is not None:
        path = ".".join(["config", *(str(part) for part in error.absolute_path)])
        # The message of a failed secret would quote it: name the rule instead.
        secret = any(part in connector_kind(kind).secret_fields for part in error.absolute_path)
        message = f"{path} does not satisfy {error.validator}." if secret else error.message
        raise InvalidInput(message, code="connection_config_invalid", field=path)
