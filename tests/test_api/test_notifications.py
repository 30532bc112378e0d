"""Channels and deliveries over HTTP: secrets once, tests now, nothing of anybody else's."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from datanika.client import verify_webhook
from datanika.contracts.enums import Role, RunState
from datanika.services.delivery import deliver_due
from tests.support.channels import end_run, receiving
from tests.support.pipelines import make_pipeline
from tests.support.tenants import Tenant, add_member, make_tenant
from tests.test_api.conftest import ANY, Connect

CHANNELS, DELIVERIES = "/api/v1/notification-channels", "/api/v1/notification-deliveries"
TOKEN = "12345:canary_telegram_token_0123456789"


def webhook(url: str = "https://hooks.example.com/x", **more: Any) -> dict[str, Any]:
    return {
        "name": "on call",
        "kind": "webhook",
        "config": {"url": url},
        "events": ["run.failed"],
        **more,
    }


async def test_a_signing_secret_is_shown_once(api: httpx.AsyncClient) -> None:
    made = await api.post(CHANNELS, json=webhook())
    assert made.status_code == 201, made.text
    secret = made.json()["signing_secret"]
    assert secret.startswith("whsec_")
    path = f"{CHANNELS}/{made.json()['id']}"
    for answer in (await api.get(path), await api.get(CHANNELS)):
        assert secret not in answer.text
    one = (await api.get(path)).json()
    assert (one["secrets"], one["is_healthy"], one["is_active"]) == (["signing_secret"], True, True)
    rotated = await api.post(f"{path}/rotate-secret")
    assert rotated.status_code == 200
    assert rotated.json()["signing_secret"] not in (secret, None)
    assert (await api.get(path)).json()["secrets"] == ["signing_secret"]


@pytest.mark.parametrize(
    ("body", "secret"),
    [
        (
            {"kind": "slack", "config": {"webhook_url": "https://hooks.slack.com/services/canary"}},
            "canary",
        ),
        ({"kind": "telegram", "config": {"chat_id": "@orders", "bot_token": TOKEN}}, TOKEN),
        ({"kind": "email", "config": {"to": ["data@example.com"]}}, None),
    ],
)
async def test_other_secrets_are_never_shown(
    api: httpx.AsyncClient, body: dict[str, Any], secret: str | None
) -> None:
    made = await api.post(CHANNELS, json=webhook() | body)
    assert made.status_code == 201, made.text
    assert made.json()["signing_secret"] is None
    path = f"{CHANNELS}/{made.json()['id']}"
    log = await api.get("/api/v1/audit?limit=50")
    for answer in (made, await api.get(path), log):
        assert secret is None or secret not in answer.text
    listed = await api.get(CHANNELS, params={"kind": body["kind"]})
    assert len(listed.json()["items"]) == 1


async def test_two_editors_do_not_overwrite_each_other(api: httpx.AsyncClient) -> None:
    made = await api.post(CHANNELS, json=webhook())
    path, tag = f"{CHANNELS}/{made.json()['id']}", made.headers["etag"]
    assert (await api.patch(path, json={"is_active": False})).status_code == 428
    first = await api.patch(path, json={"is_active": False}, headers={"If-Match": tag})
    assert (first.status_code, first.json()["is_active"]) == (200, False)
    second = await api.patch(path, json={"name": "x"}, headers={"If-Match": tag})
    assert second.status_code == 412
    inactive = await api.post(f"{path}/test")
    assert (inactive.status_code, inactive.json()["code"]) == (409, "channel_inactive")
    assert (await api.delete(path)).status_code == 204
    assert (await api.get(path)).status_code == 404


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"events": []}, "webhook.events"),
        ({"events": ["run.exploded"]}, "webhook.events.0"),
        ({"config": {"url": "javascript:x"}}, "webhook.config.url"),
        ({"config": {"url": "https://a:canary@example.com"}}, "webhook.config.url"),
        ({"config": {"url": "https://example.com:70000"}}, "config.url"),
        ({"kind": "pigeon"}, None),
        ({"pipeline_ids": [0]}, "webhook.pipeline_ids.0"),
    ],
)
async def test_a_wrong_channel_says_where(
    api: httpx.AsyncClient, more: dict[str, Any], field: str | None
) -> None:
    answer = await api.post(CHANNELS, json=webhook() | more)
    assert answer.status_code == 422, answer.text
    assert answer.json().get("field") == field
    assert "canary" not in answer.text


async def test_a_test_message_arrives_now_and_is_on_record(api: httpx.AsyncClient) -> None:
    async with receiving() as receiver:
        made = (await api.post(CHANNELS, json=webhook(receiver.url))).json()
        tried = await api.post(f"{CHANNELS}/{made['id']}/test")
        assert (tried.status_code, tried.json()["state"]) == (202, "pending")
    (got,) = receiver.got
    verify_webhook(made["signing_secret"], got.headers["datanika-signature"], got.body)
    assert got.json["event"] == "channel.test"
    row = (await api.get(f"{DELIVERIES}/{tried.json()['id']}")).json()
    assert (row["state"], row["status_code"], row["next_attempt_at"]) == ("delivered", 200, None)


async def test_deliveries_are_filtered_and_sent_again(
    api: httpx.AsyncClient, tenant: Tenant
) -> None:
    pipeline = await make_pipeline(tenant.owner)
    async with receiving(500) as receiver:
        made = (await api.post(CHANNELS, json=webhook(receiver.url))).json()
        await end_run(tenant.owner, pipeline.id, RunState.FAILED)
        await deliver_due()
        for query, count in (
            ({"channel_id": made["id"]}, 1),
            ({"channel_id": made["id"] + 1}, 0),
            ({"state": "pending"}, 1),
            ({"state": "delivered"}, 0),
            ({"event": "run.failed"}, 1),
            ({"event": "run.succeeded"}, 0),
        ):
            found = (await api.get(DELIVERIES, params=query)).json()["items"]
            assert len(found) == count, query
        row = (await api.get(DELIVERIES)).json()["items"][0]
        assert (row["attempts"], row["error"]) == (1, "The receiver answered 500.")
        receiver.status = 200
        again = await api.post(f"{DELIVERIES}/{row['id']}/redeliver")
        assert (again.status_code, again.json()["event_id"]) == (202, row["event_id"])
    assert len(receiver.got) == 2
    assert (await api.get(f"{DELIVERIES}/{row['id']}")).json()["state"] == "delivered"


async def test_roles_and_organisations_are_kept_apart(
    api: httpx.AsyncClient, connect: Connect, tenant: Tenant
) -> None:
    made = (await api.post(CHANNELS, json=webhook("http://127.0.0.1:9/"))).json()
    delivery = (await api.post(f"{CHANNELS}/{made['id']}/test")).json()
    calls: list[tuple[str, str, Any]] = [
        ("PATCH", f"{CHANNELS}/{made['id']}", {"name": "x"}),
        ("DELETE", f"{CHANNELS}/{made['id']}", None),
        ("POST", f"{CHANNELS}/{made['id']}/test", None),
        ("POST", f"{CHANNELS}/{made['id']}/rotate-secret", None),
        ("POST", f"{DELIVERIES}/{delivery['id']}/redeliver", None),
    ]
    reads = [f"{CHANNELS}/{made['id']}", f"{DELIVERIES}/{delivery['id']}"]
    stranger = connect((await make_tenant("Other")).owner)
    for role, allowed in ((Role.VIEWER, 200), (Role.EDITOR, 200)):
        member = connect(await add_member(tenant.org_id, role))
        for path in reads:
            assert (await member.get(path)).status_code == allowed
        for method, path, body in calls:
            assert (await member.request(method, path, json=body, headers=ANY)).status_code == 403
    for path in reads:
        assert (await stranger.get(path)).status_code == 404
    for method, path, body in calls:
        assert (await stranger.request(method, path, json=body, headers=ANY)).status_code == 404
    assert (await stranger.get(DELIVERIES)).json()["items"] == []


async def test_a_post_that_is_repeated_makes_one_channel_with_one_secret(
    api: httpx.AsyncClient,
) -> None:
    key = {"Idempotency-Key": "channel-1"}
    first = await api.post(CHANNELS, json=webhook(), headers=key)
    second = await api.post(CHANNELS, json=webhook(), headers=key)
    assert first.json() == second.json()
    assert len((await api.get(CHANNELS)).json()["items"]) == 1
