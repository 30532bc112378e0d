"""Jira Cloud: https://developer.atlassian.com/cloud/jira/platform/rest/v3."""

from __future__ import annotations

import datetime as dt
from typing import Any

from pydantic import Field

from datanika.contracts.steps import ResolvedConnection
from datanika.engines.connectors.base import ConnectorConfig, secret
from datanika.engines.connectors.rest import Call, RestApi, RestConnector, RestEndpoint, Since
from datanika.engines.connectors.rest_parts import DOMAIN, basic, cursor, moment, offset

_EVER = "1900-01-01"
"""The search refuses a query without a condition."""


class JiraConfig(ConnectorConfig):
    site: str = Field(title="Site", description="The name before .atlassian.net.", pattern=DOMAIN)
    email: str = Field(title="E-mail", pattern=r"^[^@\s:]+@[^@\s:]+$")
    token: str = secret("API token", pattern=r"^\S{8,500}$")


class JiraConnector(RestConnector[JiraConfig]):
    kind = "jira"
    title = "Jira"
    description = "Issues, projects and users of a Jira Cloud site."
    config = JiraConfig
    verified_live = False
    docs = (
        "`issues` has every field of an issue in `fields`, and `updated` and `created` beside it; "
        "the cursor `updated` is asked of Jira a day early, because its search knows no time zone."
    )

    def api(self, connection: ResolvedConnection) -> RestApi:
        config = self.parse(connection)
        return RestApi(
            base_url=self.base_url or f"https://{config.site}.atlassian.net/rest/api/3",
            auth=basic(config.email, config.token),
            endpoints=(
                RestEndpoint(
                    name="issues", path="search/jql", records="issues",
                    params={
                        "jql": f'updated >= "{_EVER}" ORDER BY updated ASC', "fields": "*all",
                        "maxResults": 100,
                    },
                    paginator=cursor("nextPageToken", "nextPageToken"),
                    since=Since("updated", apply=_updated), lift=_dated,
                ),
                RestEndpoint(
                    name="projects", path="project/search", records="values",
                    paginator=offset(50, "startAt", "maxResults"),
                ),
                RestEndpoint(
                    name="users", path="users/search", primary_key=("accountId",), records="$",
                    paginator=offset(100, "startAt", "maxResults"),
                ),
                RestEndpoint(name="fields", path="field", records="$"),
                RestEndpoint(name="statuses", path="status", records="$"),
                RestEndpoint(name="issue_types", path="issuetype", records="$"),
                RestEndpoint(name="priorities", path="priority", records="$"),
                RestEndpoint(
                    name="myself", path="myself", primary_key=("accountId",), records="$",
                ),
            ),
            probe="myself",
        )  # fmt: skip


JIRA = JiraConnector()


def _updated(call: Call, value: Any) -> None:
    early = moment(value).astimezone(dt.UTC) - dt.timedelta(days=1)
    call.params["jql"] = f'updated >= "{early:%Y-%m-%d %H:%M}" ORDER BY updated ASC'


def _dated(row: dict[str, Any]) -> dict[str, Any]:
    fields = row.get("fields") or {}
    # One spelling of the zone: cursors are compared as text.
    return row | {
        name: moment(fields[name]).astimezone(dt.UTC).isoformat(timespec="milliseconds")
        for name in ("created", "updated")
        if fields.get(name)
    }
