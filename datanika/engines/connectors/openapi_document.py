"""From an OpenAPI document to endpoints: https://spec.openapis.org/oas/v3.1.1.html."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from datanika.engines.connectors.rest import Parent, RestEndpoint, Since
from datanika.engines.connectors.rest_api import URL
from datanika.errors import TerminalStepError

MAX_DOCUMENT = 5_000_000
_DEPTH = 20
"""Of references to references."""
_PAGE = ("page", "page_number", "pageNumber", "page[number]")
_OFFSET = ("offset", "skip", "start", "startAt", "page[offset]")
_LIMIT = ("limit", "per_page", "perPage", "page_size", "pageSize", "maxResults", "page[size]")
_CURSOR = ("cursor", "page_token", "pageToken", "next_token", "nextToken", "after",
           "starting_after", "continuation", "page[after]")  # fmt: skip
_NEXT_CURSOR = ("next_cursor", "nextCursor", "next_page_token", "nextPageToken", "next_token",
                "nextToken", "cursor", "after", "end_cursor")  # fmt: skip
_NEXT_LINK = ("next", "next_url", "nextUrl", "next_page_url", "@odata.nextLink", "nextLink")
_WRAPS = ("meta", "paging", "pagination", "links", "_links", "response_metadata", "page_info")
_LISTS = ("data", "items", "results", "records", "values", "value", "content", "rows", "entries")
_KEYS = ("id", "uuid", "guid", "_id", "key", "sku", "code")
_SINCE = {
    "updated": ("updated_since", "updated_after", "updatedSince", "updatedAfter", "updated_at_min",
                "modified_since", "modifiedSince", "since", "updated_from"),
    "created": ("created_since", "created_after", "createdAfter", "created_at_min", "createdSince"),
}  # fmt: skip
_COLUMNS = {
    "updated": ("updated_at", "updatedAt", "updated", "modified_at", "modifiedAt", "last_modified",
                "lastModified", "update_time", "updateTime"),
    "created": ("created_at", "createdAt", "created", "create_time", "createTime"),
}  # fmt: skip
_VERSION = re.compile(r"^(api|rest|v\d+(\.\d+)*)$", re.IGNORECASE)
_PAGE_SIZE = 100


def load_document(text: str) -> dict[str, Any]:
    """Parsed and checked; raises :class:`TerminalStepError` ``openapi_invalid``."""
    try:
        found = json.loads(text) if text.lstrip().startswith("{") else _yaml(text)
    except (ValueError, RecursionError) as error:
        raise _invalid(
            f"It is neither JSON nor YAML ({str(error).splitlines()[0][:200]})."
        ) from None
    if not isinstance(found, dict) or not isinstance(found.get("paths"), dict):
        raise _invalid("It has no paths.")
    version = str(found.get("openapi", found.get("swagger", "")))
    if not version.startswith(("3.0", "3.1")):
        raise _invalid(f"Its version is {version[:20]!r}; 3.0 and 3.1 are known.")
    return found


def _yaml(text: str) -> Any:
    import yaml

    class Loader(yaml.SafeLoader):
        """Without aliases: a few lines of them make a document of gigabytes."""

        def compose_node(self, parent: Any, index: Any) -> Any:
            if self.check_event(yaml.AliasEvent):
                raise ValueError("aliases are not read")
            return super().compose_node(parent, index)

    try:
        return yaml.load(text, Loader)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from None


def _invalid(reason: str) -> TerminalStepError:
    return TerminalStepError(
        f"The document is not usable. {reason}",
        code="openapi_invalid",
        field="config.document",
        hint="Paste an OpenAPI 3.0 or 3.1 document; convert an older one first.",
    )


def derive(document: Mapping[str, Any]) -> tuple[str | None, tuple[RestEndpoint, ...]]:
    """(first server's address, the lists). Parents stand before what is below them."""
    spec = _Document(document)
    endpoints: list[RestEndpoint] = []
    for path in sorted(document["paths"], key=lambda one: (str(one).count("{"), str(one))):
        found = spec.endpoint(str(path), document["paths"][path], endpoints)
        if found is not None and found.name not in {one.name for one in endpoints}:
            endpoints.append(found)
    return spec.server(), tuple(endpoints)


class _Document:
    def __init__(self, document: Mapping[str, Any]) -> None:
        self._document = document

    def server(self) -> str | None:
        servers = self._document.get("servers")
        if not isinstance(servers, list) or not servers or not isinstance(servers[0], dict):
            return None
        url = str(servers[0].get("url", ""))
        for name, variable in (servers[0].get("variables") or {}).items():
            url = url.replace("{" + str(name) + "}", str((variable or {}).get("default", "")))
        return url if re.fullmatch(URL, url) else None

    def endpoint(self, path: str, item: Any, known: list[RestEndpoint]) -> RestEndpoint | None:
        item = self._resolved(item)
        operation = item.get("get")
        if not isinstance(operation, dict):
            return None
        parameters = self._parameters(item, operation)
        answer, headers = self._answer(operation)
        records, row = self._list(answer)
        if records is None:
            return None
        inside = [name for place, name in parameters if place == "path"]
        parent = None
        if inside:
            parent = self._parent(path, inside, known)
            if parent is None:
                return None
        query = {name: one for (place, name), one in parameters.items() if place == "query"}
        params = self._params(query)
        if params is None or any(
            one.get("required") for (place, _), one in parameters.items() if place == "header"
        ):
            return None
        columns = {
            name: str(self._resolved(kind).get("type", "any"))
            for name, kind in (self._object(row).get("properties") or {}).items()
        }
        if parent is not None:
            path = path.replace("{" + inside[0] + "}", "{" + parent.field + "}")
            columns = {parent.column: "any"} | columns
        key = next((name for name in _KEYS if name in columns), None)
        above = (parent.column,) if parent is not None and key else ()
        return RestEndpoint(
            name=_name(path),
            path=path,
            primary_key=(*above, key) if key else (),
            records=records,
            paginator=self._paginator(query, answer, headers),
            params=params,
            since=_since(query, columns),
            parent=parent,
            columns=columns,
        )

    def _parameters(self, item: Any, operation: Any) -> dict[tuple[str, str], dict[str, Any]]:
        """(place, name) -> parameter; an operation's own replace those of its path."""
        found: dict[tuple[str, str], dict[str, Any]] = {}
        for one in [*(item.get("parameters") or []), *(operation.get("parameters") or [])]:
            parameter = self._resolved(one)
            found[str(parameter.get("in")), str(parameter.get("name"))] = parameter
        return found

    def _params(self, query: dict[str, dict[str, Any]]) -> dict[str, Any] | None:
        """Query parameters to send; None when one is needed that nobody knows."""
        params: dict[str, Any] = {}
        paging = {*_PAGE, *_OFFSET, *_CURSOR}
        for name, parameter in query.items():
            schema = self._resolved(parameter.get("schema") or {})
            if name in _LIMIT:
                params[name] = min(int(schema.get("maximum") or _PAGE_SIZE), _PAGE_SIZE)
            elif parameter.get("required") and name not in paging:
                value = schema.get("default", parameter.get("example", schema.get("example")))
                value = value if value is not None else next(iter(schema.get("enum") or []), None)
                if not isinstance(value, str | int | float | bool):
                    return None
                params[name] = value
        return params

    def _answer(self, operation: Any) -> tuple[dict[str, Any], set[str]]:
        """Schema and header names of the answer that is no failure."""
        responses = operation.get("responses") or {}
        for status in ("200", 200, "2XX", "default"):
            if status in responses:
                response = self._resolved(responses[status])
                for media, content in (response.get("content") or {}).items():
                    if "json" in str(media):
                        schema = self._resolved((content or {}).get("schema") or {})
                        return schema, {str(name).lower() for name in response.get("headers") or {}}
        return {}, set()

    def _list(self, schema: dict[str, Any]) -> tuple[str | None, dict[str, Any]]:
        """(JSONPath of the list, schema of its rows); (None, {}) for an answer without one."""
        if _is(schema, "array"):
            return "$", self._resolved(schema.get("items") or {})
        properties = self._object(schema).get("properties") or {}
        lists = {
            str(name): self._resolved(self._resolved(one).get("items") or {})
            for name, one in properties.items()
            if _is(self._resolved(one), "array")
        }
        rows = {name: row for name, row in lists.items() if self._object(row).get("properties")}
        name = next((name for name in _LISTS if name in rows), None)
        if name is None and len(rows) == 1:
            name = next(iter(rows))
        return (name, rows[name]) if name is not None else (None, {})

    def _parent(self, path: str, inside: list[str], known: list[RestEndpoint]) -> Parent | None:
        """The list whose rows have the path's only value."""
        if len(inside) != 1:
            return None
        above = path.partition("{" + inside[0] + "}")[0].rstrip("/")
        endpoint = next((one for one in known if one.path.rstrip("/") == above), None)
        if endpoint is None:
            return None
        field = next((n for n in (inside[0], *_KEYS) if n in endpoint.columns), None)
        if field is None:
            return None
        singular = re.sub(r"s$", "", endpoint.name.rpartition("_")[2])
        return Parent(endpoint.name, field, f"{singular}_{field}")

    def _paginator(self, query: dict[str, Any], answer: dict[str, Any], headers: set[str]) -> Any:
        param = next((name for name in _CURSOR if name in query), None)
        if param and (path := self._path(answer, _NEXT_CURSOR)):
            return {"type": "cursor", "cursor_path": path, "cursor_param": param}
        if path := self._path(answer, _NEXT_LINK):
            return {"type": "json_link", "next_url_path": path}
        if "link" in headers:
            return "header_link"
        if name := next((one for one in _PAGE if one in query), None):
            schema = self._resolved(query[name].get("schema") or {})
            first = 0 if 0 in (schema.get("default"), schema.get("minimum")) else 1
            return {
                "type": "page_number", "base_page": first, "page_param": name, "total_path": None,
            }  # fmt: skip
        limit = next((one for one in _LIMIT if one in query), None)
        name = next((one for one in _OFFSET if one in query), None)
        if name and limit:
            size = self._params({limit: query[limit]}) or {}
            return {
                "type": "offset", "limit": size.get(limit, _PAGE_SIZE), "offset_param": name,
                "limit_param": limit, "total_path": None,
            }  # fmt: skip
        return "single_page"

    def _path(self, answer: dict[str, Any], names: tuple[str, ...]) -> str | None:
        """Where the answer has one of ``names``, itself or one level down."""
        properties = self._object(answer).get("properties") or {}
        if found := next((name for name in names if name in properties), None):
            return f"'{found}'" if "@" in found else found
        for wrap in _WRAPS:
            below = self._object(self._resolved(properties.get(wrap) or {})).get("properties") or {}
            if found := next((name for name in names if name in below), None):
                return f"{wrap}.{found}"
        return None

    def _object(self, schema: dict[str, Any]) -> dict[str, Any]:
        """``schema`` with the properties of all of its parts."""
        parts = [self._resolved(one) for one in schema.get("allOf") or []]
        if not parts:
            return schema
        properties: dict[str, Any] = {}
        for part in [*parts, schema]:
            properties |= part.get("properties") or {}
        return schema | {"properties": properties}

    def _resolved(self, node: Any) -> dict[str, Any]:
        """``node`` with its reference followed, within the document only."""
        for _ in range(_DEPTH):
            if not isinstance(node, dict):
                return {}
            reference = node.get("$ref")
            if not isinstance(reference, str):
                return node
            if not reference.startswith("#/"):
                return {}
            node = self._document
            for part in reference[2:].split("/"):
                name = part.replace("~1", "/").replace("~0", "~")
                node = node.get(name) if isinstance(node, dict) else None
        return {}


def _is(schema: dict[str, Any], kind: str) -> bool:
    found = schema.get("type")
    return found == kind or (isinstance(found, list) and kind in found)


def _since(query: dict[str, Any], columns: Mapping[str, str]) -> Since | None:
    for what, names in _SINCE.items():
        param = next((name for name in names if name in query), None)
        column = next((name for name in _COLUMNS[what] if name in columns), None)
        if param and column:
            return Since(column, param)
    return None


def _name(path: str) -> str:
    parts = [part for part in path.split("/") if part and not part.startswith("{")]
    while len(parts) > 1 and _VERSION.match(parts[0]):
        parts.pop(0)
    text = re.sub(r"[^A-Za-z0-9]+", "_", "_".join(parts)).strip("_").lower()
    return text[:60] or "root"
