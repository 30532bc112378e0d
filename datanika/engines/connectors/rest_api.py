"""A JSON REST API as a source: endpoints become tables."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from datanika.contracts.steps import ResolvedConnection
from datanika.engines.connectors.base import ConnectorConfig, secret
from datanika.engines.connectors.rest import RestApi, RestConnector, RestEndpoint, Since
from datanika.errors import TerminalStepError

# A host or a bracketed IPv6 address, and a port; no user, no query, nothing that parsers read
# differently.
URL = (
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
    page_param: str | None = Field(
        default=None,
        title="Page parameter",
        description="Query parameter of the page number, offset or cursor, if not the usual one.",
    )
    limit_param: str | None = Field(
        default=None, title="Limit parameter", description="Query parameter of the page size."
    )
    first_page: int = Field(default=1, title="First page", ge=0, le=1)
    cursor_column: str | None = Field(
        default=None,
        title="Cursor column",
        description="Column that tells new rows, for the incremental cursor.",
    )
    cursor_param: str | None = Field(
        default=None, title="Cursor parameter", description="Query parameter of the start value."
    )


class LoginConfig(ConnectorConfig):
    """How to log in to an API of one's own."""

    auth: Literal["none", "bearer", "api_key", "basic"] = Field(default="none", title="Login")
    user: str | None = Field(default=None, title="User", description="For basic.")
    password: str | None = secret("Password", "For basic.", default=None)
    token: str | None = secret("Token", "For bearer.", default=None)
    api_key: str | None = secret("API key", default=None)
    api_key_name: str = Field(default="X-API-Key", title="Name of the API key")
    api_key_location: Literal["header", "query"] = Field(default="header", title="API key goes in")


class RestApiConfig(LoginConfig):
    base_url: str = Field(
        title="Base URL",
        pattern=URL,
        examples=["https://api.example.com/v1"],
    )
    endpoints: list[Endpoint] = Field(title="Endpoints", min_length=1, max_length=200)


class RestApiConnector(RestConnector[RestApiConfig]):
    kind = "rest_api"
    title = "REST API"
    description = "A JSON API over HTTP with paging and token, key or password login."
    config = RestApiConfig

    def api(self, connection: ResolvedConnection) -> RestApi:
        config = self.parse(connection)
        return RestApi(
            base_url=config.base_url,
            auth=login_of(config, connection.name),
            endpoints=tuple(_endpoint(endpoint) for endpoint in config.endpoints),
        )


REST_API = RestApiConnector()


def _endpoint(endpoint: Endpoint) -> RestEndpoint:
    since = None
    if endpoint.cursor_param:
        since = Since(column=endpoint.cursor_column or "", param=endpoint.cursor_param)
    return RestEndpoint(
        name=endpoint.name,
        path=endpoint.path,
        primary_key=tuple(endpoint.primary_key),
        records=endpoint.data_selector,
        paginator=paginator_of(endpoint),
        params=endpoint.params,
        since=since,
    )


def login_of(config: LoginConfig, connection: str) -> dict[str, Any] | None:
    """How dlt logs in; raises :class:`TerminalStepError` naming the field that is missing."""

    def needed(value: str | None, field: str) -> str:
        if not value:
            raise TerminalStepError(
                f"Connection {connection!r} logs in by {config.auth} but has no {field}.",
                code="connection_config_invalid",
                field=f"config.{field}",
            )
        return value

    match config.auth:
        case "bearer":
            return {"type": "bearer", "token": needed(config.token, "token")}
        case "api_key":
            return {
                "type": "api_key",
                "name": config.api_key_name,
                "api_key": needed(config.api_key, "api_key"),
                "location": config.api_key_location,
            }
        case "basic":
            return {
                "type": "http_basic",
                "username": needed(config.user, "user"),
                "password": needed(config.password, "password"),
            }
    return None


def paginator_of(endpoint: Endpoint) -> Any:
    """The endpoint's paging as dlt's rest_api takes it."""
    match endpoint.paginator:
        case "json_link":
            return {"type": "json_link", "next_url_path": endpoint.next_selector or "next"}
        case "offset":
            paging = {"type": "offset", "limit": endpoint.page_size, "total_path": None}
            return paging | _renamed(
                offset_param=endpoint.page_param, limit_param=endpoint.limit_param
            )
        case "page_number":
            paging = {"type": "page_number", "base_page": endpoint.first_page, "total_path": None}
            return paging | _renamed(page_param=endpoint.page_param)
        case "cursor":
            paging = {"type": "cursor", "cursor_path": endpoint.next_selector or "next_cursor"}
            return paging | _renamed(cursor_param=endpoint.page_param)
        case "auto" | "single_page":
            return endpoint.paginator
    return {"type": endpoint.paginator}


def _renamed(**names: str | None) -> dict[str, str]:
    return {key: name for key, name in names.items() if name}
