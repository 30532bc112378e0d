"""What each vendor's public API document says, as data for ``simulated_api``."""

from __future__ import annotations

import base64
import datetime as dt
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

from tests.support.simulated_api import (
    Answer,
    Asked,
    Paging,
    Record,
    Vendor,
    by_last_id,
    by_link_header,
    by_next_url,
    by_offset_in_body,
    by_token,
)

TOKEN = "canary-t0ken-of-a-vendor"
UNAUTHORIZED = Answer({"message": "Bad credentials"}, 401)


@dataclass
class Case:
    """A kind's configuration, the table that is read, and how its vendor serves it."""

    kind: str
    config: dict[str, Any]
    secret: str
    table: str
    key: tuple[str, ...]
    cursor: str
    vendor: Vendor
    record: Callable[[int], Record]
    """The n-th record, newer than those before it."""
    filtered: bool = True
    """Whether the vendor is asked for new records only."""


def iso(n: int) -> str:
    return (dt.datetime(2024, 1, 1, tzinfo=dt.UTC) + dt.timedelta(days=n)).strftime(
        "%Y-%m-%dT%H:%M:%SZ"
    )


def unix(n: int) -> int:
    return int(dt.datetime(2024, 1, 1, tzinfo=dt.UTC).timestamp()) + n * 86_400


def bearer(asked: Asked) -> bool:
    return asked.headers.get("authorization") == f"Bearer {TOKEN}"


def header(name: str) -> Callable[[Asked], bool]:
    return lambda asked: asked.headers.get(name) == TOKEN


def basic(user: str, password: str) -> Callable[[Asked], bool]:
    login = base64.b64encode(f"{user}:{password}".encode()).decode()
    return lambda asked: asked.headers.get("authorization") == f"Basic {login}"


def listed(name: str) -> Callable[[list[Record]], Any]:
    return lambda records: {name: records}


def bare(records: list[Record]) -> Any:
    return records


def at_least(param: str, field: str) -> Callable[[Asked, Record], bool]:
    return lambda asked, record: record[field] >= asked.query.get(param, "")


def vendor(
    path: str, paging: Paging, wrap: Callable[[list[Record]], Any],
    allowed: Callable[[Asked], bool] = bearer, refusal: Answer = UNAUTHORIZED, **more: Any,
) -> Vendor:  # fmt: skip
    return Vendor(path, paging, wrap, allowed, refusal, **more)


@cache
def service_account() -> str:
    """A key as Google makes it."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return json.dumps(
        {"type": "service_account", "client_email": "loader@project.example",
         "private_key": pem.decode(), "private_key_id": "k1",
         "token_uri": "http://evil.example/token"}
    )  # fmt: skip


def granted(asked: Asked) -> Any:
    return {"access_token": TOKEN, "expires_in": 3600}


def token_or_bearer(form: dict[str, str]) -> Callable[[Asked], bool]:
    """A token for the right form, and then the token."""

    def allowed(asked: Asked) -> bool:
        if asked.path.endswith("/token"):
            return all(asked.body.get(name) == value for name, value in form.items())
        return bearer(asked)

    return allowed


def by_assertion(asked: Asked) -> bool:
    if asked.path != "/token":
        return bearer(asked)
    head, claims, _ = asked.body["assertion"].split(".")
    told = json.loads(base64.urlsafe_b64decode(claims + "=="))
    return bool(told["iss"] == "loader@project.example" and "oauth2.googleapis" in told["aud"])


def _jql(asked: Asked, record: Record) -> bool:
    found = re.search(r'updated >= "([^"]+)"', asked.query["jql"])
    assert found is not None and "ORDER BY updated" in asked.query["jql"]
    return str(record["fields"]["updated"]) >= found[1].replace(" ", "T")


def _soql(asked: Asked, record: Record) -> bool:
    query = asked.query["q"]
    assert query.startswith("SELECT Id, Name, SystemModstamp FROM Account"), query
    found = re.search(r"SystemModstamp >= (\S+)", query)
    return found is None or record["SystemModstamp"] >= found[1]


def _formula(asked: Asked, record: Record) -> bool:
    found = re.search(r"DATEADD\('([^']+)', -1", asked.query.get("filterByFormula", ""))
    return found is None or record["createdTime"] >= found[1]


def _graph(asked: Asked, record: Record) -> bool:
    rules = json.loads(asked.query.get("filtering", "[]"))
    return all(_seconds(record["updated_time"]) > rule["value"] for rule in rules)


def _seconds(text: str) -> float:
    return dt.datetime.fromisoformat(text).timestamp()


def _gaql(asked: Asked, record: Record) -> bool:
    found = re.search(r"BETWEEN '([^']+)'", asked.body["query"])
    return found is None or record["segments"]["date"] >= found[1]


def _ga_days(asked: Asked, record: Record) -> bool:
    start = asked.body["dateRanges"][0]["startDate"].replace("-", "")
    return bool(record["dimensionValues"][0]["value"] >= start)


CASES = [
    Case(
        "stripe", {}, "secret_key", "charges", ("id",), "created",
        vendor("/charges", by_last_id("starting_after"), listed("data"),
               since=lambda a, r: r["created"] >= int(a.query.get("created[gte]", 0)),
               others={"/products": lambda a: {"data": [], "has_more": False}}),
        lambda n: {"id": f"ch_{n}", "created": unix(n), "amount": n},
    ),
    Case(
        "github", {"owner": "acme", "repository": "shop"}, "token", "issues", ("id",), "updated_at",
        vendor("/repos/acme/shop/issues", by_link_header, bare,
               since=at_least("since", "updated_at"),
               others={"/repos/acme/shop/labels": lambda a: []}),
        lambda n: {"id": n, "updated_at": iso(n), "title": f"t{n}", "user": {"login": "x"}},
    ),
    Case(
        "hubspot", {}, "token", "contacts", ("id",), "updatedAt",
        vendor("/crm/v3/objects/contacts", by_token("paging.next.after", "after"),
               listed("results")),
        lambda n: {"id": str(n), "updatedAt": iso(n), "properties": {"email": "a@b.example"}},
        filtered=False,
    ),
    Case(
        "salesforce", {"domain": "acme", "client_id": "client-id"}, "client_secret", "Account",
        ("Id",), "SystemModstamp",
        vendor(
            "/services/data/v64.0/query", by_next_url("nextRecordsUrl"), listed("records"),
            token_or_bearer({"client_secret": TOKEN, "grant_type": "client_credentials"}),
            Answer({"error": "invalid_client"}, 400),
            since=_soql,
            others={
                "/services/oauth2/token": granted,
                "/services/data/v64.0/sobjects": lambda a: {
                    "sobjects": [{"name": "Account", "queryable": True}, {"name": "X"}]
                },
                "/services/data/v64.0/sobjects/Account/describe": lambda a: {
                    "fields": [
                        {"name": "Id", "type": "id"}, {"name": "Name", "type": "string"},
                        {"name": "BillingAddress", "type": "address"},
                        {"name": "SystemModstamp", "type": "datetime"},
                    ]
                },
            },
        ),
        lambda n: {"attributes": {"type": "Account"}, "Id": str(n), "Name": f"n{n}",
                   "SystemModstamp": iso(n)},
    ),
    Case(
        "shopify", {"shop": "acme"}, "token", "orders", ("id",), "updated_at",
        vendor("/orders.json", by_link_header, listed("orders"), header("x-shopify-access-token"),
               since=at_least("updated_at_min", "updated_at"),
               others={"/locations.json": lambda a: {"locations": [{"id": 1}]}}),
        lambda n: {"id": 10**12 + n, "updated_at": iso(n), "total_price": "10.00"},
    ),
    Case(
        "jira", {"site": "acme", "email": "a@b.example"}, "token", "issues", ("id",), "updated",
        vendor("/search/jql", by_token("nextPageToken", "nextPageToken", isLast=True),
               listed("issues"), basic("a@b.example", TOKEN), since=_jql,
               others={"/myself": lambda a: {"accountId": "1"}}),
        lambda n: {"id": str(n), "key": f"A-{n}",
                   "fields": {"updated": iso(n).replace("Z", ".000+0000"), "summary": "s"}},
    ),
    Case(
        "slack", {}, "token", "messages", ("channel_id", "ts"), "ts",
        vendor(
            "/conversations.history",
            by_token("response_metadata.next_cursor", "cursor"),
            lambda records: {"ok": True, "messages": records},
            refusal=Answer({"ok": False, "error": "invalid_auth"}),
            since=lambda a, r: a.query["channel"] == "C1"
            and float(r["ts"]) >= float(a.query.get("oldest", 0)),
            others={
                "/users.conversations": lambda a: {"ok": True, "channels": [{"id": "C1"}]},
                "/users.list": lambda a: {"ok": True, "members": [{"id": "U1"}]},
            },
        ),
        lambda n: {"ts": f"{unix(n)}.000100", "text": f"m{n}"},
    ),
    Case(
        "zendesk", {"subdomain": "acme", "email": "a@b.example"}, "token", "tickets", ("id",),
        "updated_at",
        vendor("/incremental/tickets/cursor.json",
               by_token("after_cursor", "cursor", end_of_stream=True), listed("tickets"),
               basic("a@b.example/token", TOKEN),
               since=lambda a, r: _seconds(r["updated_at"]) >= int(a.query.get("start_time", 0)),
               others={"/brands.json": lambda a: {"brands": [], "meta": {"has_more": False}}}),
        lambda n: {"id": n, "updated_at": iso(n), "subject": "s"},
    ),
    Case(
        "pipedrive", {"company": "acme"}, "token", "deals", ("id",), "update_time",
        vendor("/deals", by_token("additional_data.next_cursor", "cursor"), listed("data"),
               header("x-api-token"), since=at_least("updated_since", "update_time"),
               others={"/pipelines": lambda a: {"data": [], "additional_data": {}}}),
        lambda n: {"id": n, "update_time": iso(n), "title": "d"},
    ),
    Case(
        "freshdesk", {"domain": "acme"}, "api_key", "tickets", ("id",), "updated_at",
        vendor("/tickets", by_link_header, bare, basic(TOKEN, "X"),
               since=at_least("updated_since", "updated_at"), others={"/groups": lambda a: []}),
        lambda n: {"id": n, "updated_at": iso(n), "subject": "s"},
    ),
    Case(
        "asana", {"workspace": "42"}, "token", "tasks", ("project_gid", "gid"), "modified_at",
        vendor("/projects/7/tasks", by_token("next_page.offset", "offset"), listed("data"),
               since=at_least("modified_since", "modified_at"),
               others={"/projects": lambda a: {"data": [{"gid": "7"}], "next_page": None},
                       "/users": lambda a: {"data": [{"gid": "1"}], "next_page": None}}),
        lambda n: {"gid": str(n), "modified_at": iso(n), "name": f"t{n}"},
    ),
    Case(
        "airtable", {"base": "appAbcdef123"}, "token", "My orders/2024", ("id",), "createdTime",
        vendor("/appAbcdef123/My orders/2024", by_token("offset", "offset"), listed("records"),
               since=_formula,
               others={"/meta/bases/appAbcdef123/tables":
                       lambda a: {"tables": [{"id": "t", "name": "My orders/2024"}]}}),
        lambda n: {"id": f"rec{n}", "createdTime": iso(n), "fields": {"Price": n + 0.5}},
    ),
    Case(
        "notion", {}, "token", "database_rows", ("id",), "last_edited_time",
        vendor("/databases/d1/query", by_token("next_cursor", "start_cursor", in_body=True),
               listed("results"),
               others={"/search": lambda a: {"results": [{"id": "d1"}], "next_cursor": None},
                       "/users": lambda a: {"results": [{"id": "u1"}], "next_cursor": None}}),
        lambda n: {"id": f"r{n}", "last_edited_time": iso(n), "properties": {"Name": {}}},
        filtered=False,
    ),
    Case(
        "facebook_ads", {"account": "123"}, "token", "campaigns", ("id",), "updated_time",
        vendor("/act_123/campaigns", by_token("paging.cursors.after", "after"), listed("data"),
               refusal=Answer({"error": {"code": 190, "message": f"bad {TOKEN}"}}, 400),
               since=_graph),
        lambda n: {"id": str(n), "updated_time": iso(n).replace("Z", "+0000"), "name": "c"},
    ),
    Case(
        "google_analytics", {"property_id": "99", "reports": [
            {"name": "traffic", "dimensions": ["date", "sessionSource"], "metrics": ["sessions"]}
        ]}, "service_account", "traffic", ("date", "sessionSource"), "date",
        vendor("/properties/99:runReport", by_offset_in_body(), listed("rows"), by_assertion,
               since=_ga_days, others={"/token": granted}),
        lambda n: {"dimensionValues": [{"value": iso(n)[:10].replace("-", "")}, {"value": "x"}],
                   "metricValues": [{"value": str(n)}]},
    ),
    Case(
        "google_ads",
        {"customer_id": "1234567890", "developer_token": "dev-token-1", "client_id": "client-id",
         "client_secret": "client-secret"},
        "refresh_token", "campaign_days", ("campaign_id", "segments_date"), "segments_date",
        vendor("/customers/1234567890/googleAds:search",
               by_token("nextPageToken", "pageToken", in_body=True), listed("results"),
               token_or_bearer({"refresh_token": TOKEN, "grant_type": "refresh_token"}),
               Answer({"error": "invalid_grant"}, 400),
               since=_gaql, others={
                   "/token": granted,
               }),
        lambda n: {"segments": {"date": iso(n)[:10]}, "campaign": {"id": "9", "name": "c"},
                   "metrics": {"costMicros": "12", "clicks": str(n), "conversions": 0.5}},
    ),
]  # fmt: skip
