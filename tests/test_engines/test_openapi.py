"""Lists of an OpenAPI document become tables: derived right, and read from a server."""

from __future__ import annotations

import gc
import json
from pathlib import Path
from typing import Any

import pytest

from datanika.contracts.ad_hoc import IntrospectAction, PreviewAction, ProbeAction
from datanika.contracts.catalog import validate_config
from datanika.contracts.steps import ResolvedConnection
from datanika.engines.ad_hoc.perform import perform
from datanika.engines.connectors.openapi_document import derive, load_document
from datanika.engines.connectors.rest import RestEndpoint
from datanika.errors import InvalidInput, StepError
from tests.support.simulated_api import Answer, Vendor, by_token, simulated
from tests.test_engines.saas_cases import TOKEN, bearer, iso, listed
from tests.test_engines.steps import LOCAL, MERGE, duckdb, load, run, table
from tests.test_engines.targets import ask_duckdb

pytestmark = pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)

ROW = {
    "type": "object",
    "properties": {"id": {"type": "integer"}, "updated_at": {"type": "string"}},
}


def query(name: str, required: bool = False, **schema: Any) -> dict[str, Any]:
    return {
        "name": name,
        "in": "query",
        "required": required,
        "schema": {"type": "string"} | schema,
    }


def get(schema: Any, *parameters: Any, headers: Any = None) -> dict[str, Any]:
    content = {"application/json": {"schema": schema}}
    answer = {"description": "ok", "content": content, "headers": headers or {}}
    return {"get": {"parameters": list(parameters), "responses": {"200": answer}}}


def array(row: Any = ROW) -> dict[str, Any]:
    return {"type": "array", "items": row}


def wrapped(name: str = "data", **more: Any) -> dict[str, Any]:
    return {"type": "object", "properties": {name: array(), **more}}


def document(paths: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "openapi": "3.1.0", "info": {"title": "t", "version": "1"},
        "servers": [{"url": "https://{host}/v1", "variables": {"host": {"default": "a.example"}}}],
        "paths": paths, **more,
    }  # fmt: skip


def endpoints(paths: dict[str, Any], **more: Any) -> dict[str, RestEndpoint]:
    return {one.name: one for one in derive(document(paths, **more))[1]}


TEXT = {"type": "string"}


@pytest.mark.parametrize(
    ("item", "records", "paginator"),
    [
        (get(array()), "$", "single_page"),
        (get(array(), headers={"Link": {}}), "$", "header_link"),
        (get(wrapped("results", next=TEXT)), "results",
         {"type": "json_link", "next_url_path": "next"}),
        (get(wrapped("data", next_cursor=TEXT), query("cursor")), "data",
         {"type": "cursor", "cursor_path": "next_cursor", "cursor_param": "cursor"}),
        (get(wrapped("data", meta={"type": "object", "properties": {"nextPageToken": TEXT}}),
             query("pageToken")), "data",
         {"type": "cursor", "cursor_path": "meta.nextPageToken", "cursor_param": "pageToken"}),
        (get(wrapped("things"), query("page", default=0)), "things",
         {"type": "page_number", "base_page": 0, "page_param": "page", "total_path": None}),
        (get(array(), query("offset"), query("limit", maximum=25)), "$",
         {"type": "offset", "limit": 25, "offset_param": "offset", "limit_param": "limit",
          "total_path": None}),
        (get({"type": "object", "properties": {"value": array(), "@odata.nextLink": TEXT}}),
         "value", {"type": "json_link", "next_url_path": "'@odata.nextLink'"}),
    ],
)  # fmt: skip
def test_records_and_paging_are_found(item: Any, records: str, paginator: Any) -> None:
    (found,) = endpoints({"/things": item}).values()
    assert (found.name, found.records, found.paginator) == ("things", records, paginator)
    assert found.primary_key == ("id",)
    assert found.columns == {"id": "integer", "updated_at": "string"}


def test_references_parts_and_parameters_are_followed() -> None:
    found = endpoints(
        {
            "/api/v2/orders": {
                "parameters": [{"$ref": "#/components/parameters/since"}],
                **get({"$ref": "#/components/schemas/Page"}, query("status", True, enum=["open"])),
            }
        },
        components={
            "parameters": {"since": query("updated_since")},
            "schemas": {
                "Page": {"allOf": [{"type": "object"}, wrapped("items")]},
                "Loop": {"$ref": "#/components/schemas/Loop"},
            },
        },
    )
    orders = found["orders"]
    assert (orders.records, orders.params) == ("items", {"status": "open"})
    assert orders.since is not None
    assert (orders.since.column, orders.since.param) == ("updated_at", "updated_since")


def test_a_list_below_a_lists_rows_follows_every_row() -> None:
    found = endpoints(
        {
            "/orders": get(array()),
            "/orders/{orderId}/lines": get(array(), {"name": "orderId", "in": "path"}),
            "/orders/{orderId}/lines/{lineId}/notes": get(
                array(), {"name": "orderId", "in": "path"}, {"name": "lineId", "in": "path"}
            ),
        }
    )
    lines = found["orders_lines"]
    assert lines.parent is not None
    assert (lines.parent.endpoint, lines.parent.field, lines.parent.column) == (
        "orders", "id", "order_id",
    )  # fmt: skip
    assert (lines.path, lines.primary_key) == ("/orders/{id}/lines", ("order_id", "id"))
    assert set(found) == {"orders", "orders_lines"}


def test_what_cannot_be_asked_is_left_out() -> None:
    assert not endpoints(
        {
            "/needs": get(array(), query("account", required=True)),
            "/secret": get(array(), {"name": "X-Team", "in": "header", "required": True}),
            "/one": get(ROW),
            "/loop": get({"$ref": "#/components/schemas/Loop"}),
            "/outside": get({"$ref": "https://evil.example/schema.json"}),
            "/made": {"post": {}},
            "/unknown/{id}/things": get(array(), {"name": "id", "in": "path"}),
        },
        components={"schemas": {"Loop": {"$ref": "#/components/schemas/Loop"}}},
    )


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{not json", "neither JSON nor YAML"),
        ("a: &x [1]\npaths: *x", "aliases"),
        ('{"swagger": "2.0", "paths": {}}', "2.0"),
        ('{"openapi": "3.0.0"}', "no paths"),
        ("[" * 100_000, "neither JSON nor YAML"),
        ("!!python/object/apply:os.system ['id']", "neither JSON nor YAML"),
    ],
)
def test_a_document_that_is_none_says_why(text: str, reason: str) -> None:
    with pytest.raises(StepError) as caught:
        load_document(text)
    assert caught.value.code == "openapi_invalid"
    assert reason in caught.value.message


def test_an_api_is_read_by_its_document(tmp_path: Path) -> None:
    vendor = Vendor(
        "/v1/orders", by_token("next_cursor", "cursor"), listed("data"), bearer,
        Answer({}, 401),
        since=lambda asked, row: row["updated_at"] >= asked.query.get("updated_since", ""),
        others={f"/v1/orders/{n}/lines": lambda a, n=n: [{"id": n * 10}] for n in range(5)},
    )  # fmt: skip
    with simulated(vendor, [{"id": n, "updated_at": iso(n)} for n in range(5)]) as api:
        told = document(
            {
                "/orders": get(
                    wrapped("data", next_cursor=TEXT), query("cursor"), query("updated_since")
                ),
                "/orders/{id}/lines": get(array(), {"name": "id", "in": "path"}),
            }
        )
        config = {
            "document": json.dumps(told), "base_url": f"{api.url}/v1", "auth": "bearer",
            "token": TOKEN,
        }  # fmt: skip
        validate_config("openapi", config)
        source = ResolvedConnection(
            id=20, name="api", kind="openapi", config=config, secret_fields=("token",), egress=LOCAL
        )
        orders = table("orders", "orders", MERGE, ("id",), cursor="updated_at")
        step = load(source, duckdb(tmp_path), orders, table("orders_lines", "lines"))
        assert run(step).code is None
        api.records.append({"id": 5, "updated_at": iso(5)})
        api.vendor.others["/v1/orders/5/lines"] = lambda a: []
        api.sent = 0
        only = load(source, duckdb(tmp_path), orders)
        assert (run(only).finished.rows, api.sent) == (2, 2)
        ask = ask_duckdb(tmp_path)
        assert ask("SELECT count(*) FROM raw.orders") == [(6,)]
        assert ask("SELECT order_id, id FROM raw.lines ORDER BY 1")[4] == (4, 40)
        assert perform(ProbeAction(connection=source), tmp_path).type == "test"
        seen: Any = perform(IntrospectAction(connection=source), tmp_path)
        assert [(t.name, t.primary_key) for t in seen.tables] == [
            ("orders", ("id",)), ("orders_lines", ("order_id", "id")),
        ]  # fmt: skip
        shown: Any = perform(PreviewAction(connection=source, table="orders", limit=1), tmp_path)
        assert shown.rows == ((0, iso(0)),)
    gc.collect()


def test_the_server_of_the_document_is_checked_like_a_base_url() -> None:
    for url in ("file:///etc/passwd", "https://u:p@h/", "/relative", "https://h/?x=1"):
        told = document({"/things": get(array())}) | {"servers": [{"url": url}]}
        assert derive(told)[0] is None
    with pytest.raises(InvalidInput):
        validate_config("openapi", {"document": "x" * 20, "base_url": "ftp://a.example"})
