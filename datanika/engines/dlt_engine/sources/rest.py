"""An endpoint of a REST API through dlt's rest_api source."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from datanika.contracts.spec import TableSpec
from datanika.contracts.steps import ResolvedConnection
from datanika.egress.guard import EgressGuard
from datanika.engines.connectors.rest_api import REST_API, Endpoint, RestApiConfig
from datanika.errors import TerminalStepError


@contextmanager
def open_endpoint(
    connection: ResolvedConnection, table: TableSpec, start: Any = None
) -> Iterator[Any]:
    """The dlt resource of the endpoint that ``table.name`` names; its items are dicts.

    ``start`` goes into the endpoint's cursor parameter, if it has one.
    """
    from dlt.sources.rest_api import rest_api_resources

    from datanika.engines.dlt_engine.sources.pinned_session import pinned_session

    config = REST_API.parse(connection)
    endpoint = next((item for item in config.endpoints if item.name == table.name), None)
    if endpoint is None:
        raise TerminalStepError(
            f"Connection {connection.name!r} has no endpoint {table.name!r}.",
            code="endpoint_missing",
            hint=f"Its endpoints: {', '.join(item.name for item in config.endpoints)}.",
        )
    session = pinned_session(config.base_url, EgressGuard(connection.egress))
    client: dict[str, Any] = {
        "base_url": config.base_url.rstrip("/") + "/",
        "session": session,
    }
    if (login := _auth(config, connection.name)) is not None:
        client["auth"] = login
    resources = rest_api_resources(
        {
            "client": client,
            "resources": [{"name": table.target, "endpoint": _endpoint(endpoint, start)}],
        }
    )
    try:
        yield resources[0]
    finally:
        session.close()


def _endpoint(endpoint: Endpoint, start: Any) -> dict[str, Any]:
    params: dict[str, Any] = dict(endpoint.params)
    result: dict[str, Any] = {"path": endpoint.path.lstrip("/"), "params": params}
    if endpoint.data_selector:
        result["data_selector"] = endpoint.data_selector
    if endpoint.paginator != "auto":
        result["paginator"] = _paginator(endpoint)
    if endpoint.cursor_param and start is not None:
        params[endpoint.cursor_param] = start
    return result


def _auth(config: RestApiConfig, connection: str) -> dict[str, Any] | None:
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


def _paginator(endpoint: Endpoint) -> dict[str, Any]:
    match endpoint.paginator:
        case "json_link":
            return {"type": "json_link", "next_url_path": endpoint.next_selector or "next"}
        case "offset":
            return {"type": "offset", "limit": endpoint.page_size, "total_path": None}
        case "page_number":
            return {"type": "page_number", "base_page": 1, "total_path": None}
        case "cursor":
            return {"type": "cursor", "cursor_path": endpoint.next_selector or "next_cursor"}
    return {"type": endpoint.paginator}
