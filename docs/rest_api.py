"""The REST reference and the table of routes and permissions, from the OpenAPI document."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

Json = dict[str, Any]
Table = Callable[[Sequence[str], Iterable[Sequence[str]]], str]
_SHOWN_DEPTH = 2
"""Objects inside a body that get a table of their own fields in the same row's meaning."""

_OF_NO_ROLE = {"member": "any member, any key", "person": "any member, no key"}


def rest_page(table: Table) -> str:
    """Every operation of the public API, tag by tag."""
    from datanika.api.app import create_app
    from datanika.api.openapi import operations

    document = create_app().openapi()
    by_tag: dict[str, list[tuple[str, str, Json]]] = {}
    for path, method, operation in operations(document):
        by_tag.setdefault(operation["tags"][0], []).append((path, method, operation))
    tags = [tag for tag in document["tags"] if tag["name"] in by_tag]
    sections = [
        "# REST API",
        "The same as a document for generators: `GET /api/v1/openapi.json`. For Python there is"
        " [a typed client](../how-to/use-the-python-client.md).",
        document["info"]["description"].strip(),
        "## Errors",
        table(
            ("Status", "Meaning"),
            (
                (str(number), response["description"])
                for number, response in sorted(_errors(document).items())
            ),
        ),
        "## Operations",
        table(
            ("Operation", "Permission", "What it does"),
            (
                (
                    f"[`{method.upper()} {path}`](#{operation['operationId']})",
                    _permission(operation),
                    _first_sentence(operation),
                )
                for tag in tags
                for path, method, operation in by_tag[tag["name"]]
            ),
        ),
    ]
    for tag in tags:
        sections += [f"## {tag['name'].capitalize()}", tag.get("description", "")]
        for path, method, operation in by_tag[tag["name"]]:
            sections += _operation(document, table, path, method, operation)
    return "\n\n".join(part for part in sections if part)


def permission_rows() -> Iterable[tuple[str, str, str]]:
    """Method and path, permission, least role, for every route of organisations."""
    from datanika.api.app import create_app
    from datanika.api.openapi import operations
    from datanika.services.permissions import PERMISSIONS

    for path, method, operation in operations(create_app().openapi()):
        permission = operation.get("x-permission")
        if permission is not None:
            least = PERMISSIONS.get(permission)
            yield (
                f"`{method.upper()} {path}`",
                f"`{permission}`" if least else "none",
                least.value if least else _OF_NO_ROLE[permission],
            )


def _errors(document: Json) -> dict[int, Json]:
    from datanika.api.openapi import STATUS_OF

    return {STATUS_OF[name]: one for name, one in document["components"]["responses"].items()}


def _permission(operation: Json) -> str:
    permission = operation.get("x-permission")
    return "" if permission is None else "member" if permission == "member" else f"`{permission}`"


def _first_sentence(operation: Json) -> str:
    text = operation["description"].split("\n\n")[0].replace("\n", " ")
    return str(text.partition(". ")[0].rstrip(".") + ".")


def _operation(
    document: Json, table: Table, path: str, method: str, operation: Json
) -> Iterable[str]:
    yield f'<a id="{operation["operationId"]}"></a>'
    yield f"### {operation['summary']}"
    yield f"`{method.upper()} {path}`"
    yield operation["description"]
    parameters = [_resolved(document, one) for one in operation.get("parameters", [])]
    if parameters:
        yield table(
            ("Parameter", "In", "Type", "Meaning"),
            (
                (
                    f"`{one['name']}`" + (" (required)" if one.get("required") else ""),
                    one["in"],
                    _type(document, one["schema"]),
                    _meaning(one.get("description", ""), one["schema"]),
                )
                for one in parameters
            ),
        )
    content = operation.get("requestBody", {}).get("content", {}).get("application/json")
    if content:
        fields = list(_fields(document, content["schema"]))
        if fields:
            yield table(("Body", "Type", "Meaning"), fields)
    answers, errors = [], []
    for status, response in operation["responses"].items():
        if int(status) < 400:
            schema = response.get("content", {}).get("application/json", {}).get("schema")
            answers.append(f"{status} {_type(document, schema)}" if schema else f"{status}, empty")
        else:
            errors.append(status)
    yield f"Answers {' or '.join(answers)}." + (f" Errors: {', '.join(errors)}." if errors else "")


def _fields(
    document: Json, schema: Json, prefix: str = "", depth: int = 0
) -> Iterable[tuple[str, str, str]]:
    schema = _resolved(document, schema)
    for choice in schema.get("anyOf", []):
        if choice.get("type") != "null":
            yield from _fields(document, choice, prefix, depth)
            return
    required = schema.get("required", [])
    for name, one in schema.get("properties", {}).items():
        label = f"`{prefix}{name}`" + (" (required)" if name in required else "")
        yield label, _type(document, one), _meaning(one.get("description", ""), one)
        inner = _resolved(document, next((o for o in one.get("anyOf", []) if "$ref" in o), one))
        if inner.get("properties") and depth < _SHOWN_DEPTH:
            yield from _fields(document, inner, f"{prefix}{name}.", depth + 1)


def _resolved(document: Json, schema: Json) -> Json:
    while "$ref" in schema:
        _, _, group, name = schema["$ref"].split("/")
        schema = document["components"][group][name]
    return schema


def _type(document: Json, schema: Json) -> str:
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        resolved = _resolved(document, schema)
        return (
            _type(document, resolved) if "enum" in resolved else f"{name.replace('_', ' ')}".strip()
        )
    if "enum" in schema:
        return " or ".join(f"`{one}`" for one in schema["enum"])
    if "const" in schema:
        return f"`{schema['const']}`"
    options = schema.get("anyOf") or schema.get("oneOf")
    if options:
        names = [_type(document, one) for one in options if one.get("type") != "null"]
        return " or ".join(dict.fromkeys(names))
    if schema.get("type") == "array":
        return f"list of {_type(document, schema.get('items', {}))}"
    kind = {"string": "text", "integer": "integer", "boolean": "true or false"}.get(
        schema.get("type", ""), schema.get("type", "any")
    )
    return "moment" if schema.get("format") == "date-time" else str(kind)


def _meaning(description: str, schema: Json) -> str:
    parts = [description.replace("\n", " ")]
    options = [schema, *schema.get("anyOf", [])]
    limits = {key: one[key] for one in options for key in ("minimum", "maximum") if key in one}
    if "minimum" in limits and limits.get("maximum", 2**63) < 2**40:
        parts.append(f"{int(limits['minimum'])} to {int(limits['maximum'])}.")
    if schema.get("default") not in (None, "", [], {}):
        parts.append(f"Default `{schema['default']}`.")
    return " ".join(part for part in parts if part)
