"""A JSON REST API as a source: endpoints become tables."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from datanika.engines.connectors.base import Connector, ConnectorConfig, secret

# A host or a bracketed IPv6 address, and a port; no user, no query, nothing that parsers read
# differently.
_URL = (
    r"^https?://([^\s\x00-\x20/@?#%,;:\\\[\]{}<>'\"`|^()*&=+!$~]+|\[[0-9A-Fa-f:.]+\])"
    r"(:[0-9]{1,5})?(/[^\s?#\\]*)?$"
)


class Endpoint(ConnectorConfig):
    """One endpoint; a pipeline's table names it by ``name``."""

    name: str = Field(title="Name", pattern=r"^[A-Za-z][A-Za-z0-9_]{0,62}$")
    path: str = Field(
        title="Path",
        description="Below the base URL.",
        # No scheme and no host: an endpoint cannot send the credentials elsewhere.
        pattern=r"^/?[A-Za-z0-9._~%,@+=-]+(/[A-Za-z0-9._~%,@+=-]+)*/?$",
    )
    data_selector: str | None = Field(
        default=None, title="Records", description="JSONPath of the list of records."
    )
    params: dict[str, str | int | float | bool] = Field(default={}, title="Query parameters")
    primary_key: list[str] = Field(default=[], title="Primary key")
    paginator: Literal[
        "auto", "single_page", "header_link", "json_link", "offset", "page_number", "cursor"
    ] = Field(default="auto", title="Paging")
    page_size: int = Field(default=100, title="Page size", ge=1, le=10_000)
    next_selector: str | None = Field(
        default=None,
        title="Next page",
        description="JSONPath of the next link (json_link) or cursor (cursor).",
    )
    cursor_param: str | None = Field(
        default=None, title="Cursor parameter", description="Query parameter of the start value."
    )


class RestApiConfig(ConnectorConfig):
    base_url: str = Field(
        title="Base URL",
        pattern=_URL,
        examples=["https://api.example.com/v1"],
    )
    auth: Literal["none", "bearer", "api_key", "basic"] = Field(default="none", title="Login")
    user: str | None = Field(default=None, title="User", description="For basic.")
    password: str | None = secret("Password", "For basic.", default=None)
    token: str | None = secret("Token", "For bearer.", default=None)
    api_key: str | None = secret("API key", default=None)
    api_key_name: str = Field(default="X-API-Key", title="Name of the API key")
    api_key_location: Literal["header", "query"] = Field(default="header", title="API key goes in")
    endpoints: list[Endpoint] = Field(title="Endpoints", min_length=1, max_length=200)


REST_API = Connector(
    kind="rest_api",
    title="REST API",
    description="A JSON API over HTTP with paging and token, key or password login.",
    config=RestApiConfig,
    is_source=True,
)
