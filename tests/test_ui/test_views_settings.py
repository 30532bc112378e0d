"""What the settings make of what services say; forms; and the page of a failure."""

from __future__ import annotations

import datetime as dt
from typing import Any

import httpx
import pytest

from datanika.contracts.api import InvitationIn
from datanika.contracts.enums import Role
from datanika.contracts.notifications import ChannelKind
from datanika.errors import InvalidInput, NotFound
from datanika.services.usage_service import Figure, MonthOfUse, Usage
from datanika.ui.failures import FailurePages, failure_page
from datanika.ui.state.api_key_state import by_resource, expiry
from datanika.ui.state.channel_state import config_of
from datanika.ui.state.given import an_id, read, ticked
from datanika.ui.state.organization_state import limit_of, shown_limit
from datanika.ui.views.settings import Change, changes, grantable, meters, month_bars


def test_a_change_is_shown_by_value_and_nothing_that_stayed() -> None:
    old = {"name": "a", "config": {"host": "x", "port": 1}, "gone": True, "same": [1]}
    new = {"name": "b", "config": {"host": "x", "port": 2}, "same": [1], "added": "y"}
    assert changes(old, new) == [
        Change("added", "", "y", "added"),
        Change("config.port", "1", "2", "changed"),
        Change("gone", "true", "", "removed"),
        Change("name", "a", "b", "changed"),
    ]
    assert changes(None, None) == []


def month(number: int, rows: int) -> MonthOfUse:
    return MonthOfUse(
        month=dt.date(2026, number, 1), runs=1, failed_runs=0, rows=rows, run_seconds=0,
        storage_bytes=0,
    )  # fmt: skip


def test_a_limit_is_a_bar_that_warns_before_it_is_full() -> None:
    usage = Usage(
        month=dt.date(2026, 3, 1),
        resets_at=dt.datetime(2026, 4, 1, tzinfo=dt.UTC),
        concurrent_runs=Figure(used=1, limit=4),
        connections=Figure(used=8, limit=10),
        rows=Figure(used=12, limit=10),
        storage_bytes=Figure(used=5, limit=None),
        storage_measured_at=None,
        history=[month(3, 50), month(2, 200)],
    )
    shown = [(one.level, one.percent, one.has_limit) for one in meters(usage)]
    assert shown == [
        ("ok", "25.0%", True),
        ("high", "80.0%", True),
        ("full", "100.0%", True),
        ("free", "0%", False),
    ]
    bars = [(bar.month, bar.height) for bar in month_bars(usage.history)]
    assert bars == [("2026-02", "100.0%"), ("2026-03", "25.0%")]


@pytest.mark.parametrize(
    ("role", "may"),
    [
        (Role.OWNER, ["viewer", "editor", "admin"]),
        (Role.ADMIN, ["viewer", "editor"]),
        (Role.VIEWER, []),
    ],
)
def test_nobody_is_offered_a_role_that_is_not_below_their_own(role: Role, may: list[str]) -> None:
    assert grantable(role) == may


def test_a_form_is_read_as_the_api_reads_a_body() -> None:
    assert read(InvitationIn, {"email": "a@b.c", "role": "viewer"}).role is Role.VIEWER
    with pytest.raises(InvalidInput) as refused:
        read(InvitationIn, {"email": "a@b.c", "role": "king-of-secrets"})
    assert refused.value.field == "role" and "king" not in refused.value.message
    assert ticked({"scope_run__read": "on", "scope_x": "", "name": "n"}, "scope_") == ["run__read"]
    for wrong in ("1", 0, -1, 2**63, None):
        with pytest.raises(NotFound):
            an_id(wrong)


def test_a_keys_life_is_one_of_those_that_are_offered() -> None:
    assert expiry("never") is None
    in_a_month = expiry("30")
    assert in_a_month is not None and in_a_month > dt.datetime.now(dt.UTC) + dt.timedelta(days=29)
    with pytest.raises(InvalidInput):
        expiry("36500")
    assert by_resource(["run:read", "run:trigger", "file:read"]) == {
        "run": ["read", "trigger"],
        "file": ["read"],
    }


def test_a_secret_that_was_left_empty_is_left_out_of_a_channel() -> None:
    assert config_of(ChannelKind.EMAIL, {"to": "a@b.c; d@e.f ,"}) == {"to": ["a@b.c", "d@e.f"]}
    assert config_of(ChannelKind.SLACK, {"webhook_url": ""}) == {}
    assert config_of(ChannelKind.TELEGRAM, {"chat_id": "-1", "bot_token": "1:x"}) == {
        "bot_token": "1:x",
        "chat_id": "-1",
    }


def test_the_page_of_a_failure_says_its_id_in_the_readers_language() -> None:
    page = failure_page({"cookie": "datanika_locale=ar"}, "<abc>")
    assert 'dir="rtl"' in page and "&lt;abc&gt;" in page
    assert "Bei uns ist etwas kaputtgegangen" in failure_page({"accept-language": "de"}, "1")


async def test_whatever_breaks_is_a_page_with_an_id() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/breaks":
            raise RuntimeError("secret-of-the-inside")
        await send({"type": "http.response.start", "status": 404, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    transport = httpx.ASGITransport(FailurePages(app))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        broken = await client.get("/breaks", headers={"x-request-id": "mine-1"})
        missing = await client.get("/nowhere")
    assert broken.status_code == 500 and "mine-1" in broken.text
    assert broken.headers["x-request-id"] == "mine-1"
    assert "secret-of-the-inside" not in broken.text
    assert missing.status_code == 404 and len(missing.headers["x-request-id"]) == 16


def test_storage_is_typed_and_shown_in_gigabytes_without_losing_a_byte() -> None:
    limit = "max_storage_bytes"
    assert limit_of(limit, "1.5") == limit_of(limit, "1,5") == 1_500_000_000
    for value in (0, 1, 1_500_000_000, 20 * 10**9, 123_456_789_012):
        assert limit_of(limit, shown_limit(limit, value)) == value
    assert shown_limit(limit, 20 * 10**9) == "20"
    assert shown_limit(limit, None) == ""
    assert limit_of("max_connections", shown_limit("max_connections", 12)) == 12


@pytest.mark.parametrize("text", ["NaN", "-1", "1e30", "Infinity", "ten", "1 000"])
def test_what_is_no_number_of_gigabytes_is_refused_at_its_field(text: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        limit_of("max_storage_bytes", text)
    assert refused.value.field == "max_storage_bytes"
