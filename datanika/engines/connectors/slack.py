"""Slack: https://docs.slack.dev/reference/methods."""

from __future__ import annotations

from typing import Any

from datanika.contracts.steps import ResolvedConnection
from datanika.engines.connectors.base import ConnectorConfig, secret
from datanika.engines.connectors.rest import Parent, RestApi, RestConnector, RestEndpoint, Since
from datanika.engines.connectors.rest_parts import (
    answer,
    api_refused,
    bearer,
    cursor,
    error_name,
    login_refused,
    moment,
    rate_limited,
)

_PAGES = cursor("response_metadata.next_cursor", "cursor")
_LOGIN = frozenset(
    {"invalid_auth", "not_authed", "account_inactive", "token_revoked", "token_expired",
     "missing_scope", "no_permission", "org_login_required"}
)  # fmt: skip


class SlackConfig(ConnectorConfig):
    token: str = secret("Bot token", "It starts with xoxb-.", pattern=r"^\S{8,300}$")


class SlackConnector(RestConnector[SlackConfig]):
    kind = "slack"
    title = "Slack"
    description = "Channels, users and messages that the app may read."
    config = SlackConfig
    verified_live = False
    docs = (
        "`messages` are those of every channel that the app is in, with `channel_id`; key: "
        "`channel_id` and `ts`. The cursor `ts` is asked of Slack per channel. Replies in threads "
        "are not read."
    )

    def api(self, connection: ResolvedConnection) -> RestApi:
        return RestApi(
            base_url=self.base_url or "https://slack.com/api",
            auth=bearer(self.parse(connection).token),
            check=_check,
            endpoints=(
                _channels("channels", "conversations.list"),
                _channels("joined_channels", "users.conversations"),
                RestEndpoint(
                    name="users", path="users.list", records="members", params={"limit": 200},
                    paginator=_PAGES,
                ),
                RestEndpoint(
                    name="messages", path="conversations.history", records="messages",
                    primary_key=("channel_id", "ts"),
                    params={"channel": "{id}", "limit": 200, "inclusive": "true"},
                    paginator=_PAGES, since=Since("ts", "oldest", _oldest),
                    parent=Parent("joined_channels", "id", "channel_id"),
                ),
            ),
            probe="users",
        )  # fmt: skip


SLACK = SlackConnector()


def _channels(name: str, method: str) -> RestEndpoint:
    return RestEndpoint(
        name=name, path=method, records="channels", paginator=_PAGES,
        params={"types": "public_channel,private_channel", "limit": 200},
    )  # fmt: skip


def _oldest(value: Any) -> str:
    """Slack's own ``ts``, or a moment as one."""
    text = str(value)
    if text.replace(".", "", 1).isdigit():
        return text
    return f"{moment(value).timestamp():.6f}"


def _check(response: Any) -> None:
    found = answer(response)
    if found.get("ok") is not False:
        return
    error = error_name(found) or "unknown"
    if error in _LOGIN:
        raise login_refused(error)
    raise rate_limited(error) if error == "ratelimited" else api_refused(error)
