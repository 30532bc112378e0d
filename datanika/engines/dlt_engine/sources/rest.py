"""An endpoint of a REST API through dlt's rest_api source."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from datanika.contracts.egress import EgressPolicy
from datanika.egress.guard import EgressGuard
from datanika.engines.connectors.rest import Call, RestApi, RestEndpoint


@contextmanager
def open_endpoint(
    api: RestApi, endpoint: RestEndpoint, egress: EgressPolicy, target: str, start: Any = None
) -> Iterator[Any]:
    """The dlt resource of ``endpoint``, called ``target``; its items are dicts.

    ``start`` is the cursor's value that the API is asked to begin at, if it can.
    """
    from dlt.sources.rest_api import rest_api_resources

    from datanika.engines.dlt_engine.sources.pinned_session import pinned_session

    session = pinned_session(api.base_url, EgressGuard(egress))
    client: dict[str, Any] = {
        "base_url": api.base_url.rstrip("/") + "/",
        "session": session,
        "headers": dict(api.headers),
    }
    if api.auth is not None:
        client["auth"] = api.auth
    chain = _chain(api, endpoint, target, start)
    try:
        resources = rest_api_resources({"client": client, "resources": chain})
        resource = next(one for one in resources if one.name == target)
        yield _shaped(resource, endpoint)
    finally:
        session.close()


def _chain(api: RestApi, endpoint: RestEndpoint, target: str, start: Any) -> list[dict[str, Any]]:
    """The endpoint and those that lead to it."""
    if endpoint.parent is None:
        return [{"name": target, "endpoint": _request(api, endpoint, endpoint.path, start)}]
    above = next(one for one in api.endpoints if one.name == endpoint.parent.endpoint)
    name = f"above_{target}"
    field = endpoint.parent.field
    path = endpoint.path.replace("{" + field + "}", "{resources." + f"{name}.{field}" + "}")
    params = {
        key: value.replace("{" + field + "}", "{resources." + f"{name}.{field}" + "}")
        if isinstance(value, str)
        else value
        for key, value in endpoint.params.items()
    }
    child = {
        "name": target,
        "endpoint": _request(api, endpoint, path, start, params),
        "include_from_parent": [field],
    }
    return [*_chain(api, above, name, None), child]


def _request(
    api: RestApi,
    endpoint: RestEndpoint,
    path: str,
    start: Any,
    params: dict[str, Any] | None = None,
) -> dict[str, Any]:
    call = Call(
        dict(endpoint.params if params is None else params),
        None if endpoint.json is None else dict(endpoint.json),
    )
    if endpoint.since is not None and start is not None:
        if endpoint.since.apply is not None:
            endpoint.since.apply(call, start)
        elif endpoint.since.param is not None:
            call.params[endpoint.since.param] = endpoint.since.format(start)
    result: dict[str, Any] = {
        "path": path.lstrip("/"),
        "method": endpoint.method,
        "params": call.params,
    }
    if call.json is not None:
        result["json"] = call.json
    if endpoint.records:
        result["data_selector"] = endpoint.records
    paginator = endpoint.paginator
    if paginator != "auto":
        result["paginator"] = paginator() if callable(paginator) else paginator
    if api.check is not None:
        result["response_actions"] = [_hook(api.check)]
    return result


def _hook(check: Any) -> Any:
    def look(response: Any, *args: Any, **kwargs: Any) -> None:
        check(response)

    return look


def _shaped(resource: Any, endpoint: RestEndpoint) -> Any:
    parent = endpoint.parent
    if parent is not None:
        given = f"_above_{resource.name}_{parent.field}"

        def rename(item: dict[str, Any]) -> dict[str, Any]:
            item[parent.column] = item.pop(given)
            return item

        resource = resource.add_map(rename)
    return resource if endpoint.lift is None else resource.add_map(endpoint.lift)
