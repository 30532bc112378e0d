"""Notion: https://developers.notion.com/reference."""

from __future__ import annotations

from typing import Any

from datanika.contracts.steps import ResolvedConnection
from datanika.engines.connectors.base import ConnectorConfig, secret
from datanika.engines.connectors.rest import Parent, RestApi, RestConnector, RestEndpoint, Since
from datanika.engines.connectors.rest_parts import bearer, body_cursor, cursor

_PAGES = body_cursor("next_cursor", "start_cursor")
_EDITED = {"timestamp": "last_edited_time", "direction": "ascending"}


class NotionConfig(ConnectorConfig):
    token: str = secret("Integration token", pattern=r"^\S{8,300}$")


class NotionConnector(RestConnector[NotionConfig]):
    kind = "notion"
    title = "Notion"
    description = "Pages, databases and their rows that the integration was given."
    config = NotionConfig
    verified_live = False
    docs = (
        "`database_rows` are the rows of every database, with `database_id` and their values in "
        "`properties`. With the cursor `last_edited_time` every page is read and only edited rows "
        "are loaded. The text inside of pages is not read."
    )

    def api(self, connection: ResolvedConnection) -> RestApi:
        return RestApi(
            base_url=self.base_url or "https://api.notion.com/v1",
            auth=bearer(self.parse(connection).token),
            headers={"Notion-Version": "2022-06-28"},
            endpoints=(
                _search("pages", "page"),
                _search("databases", "database"),
                RestEndpoint(
                    name="database_rows", path="databases/{id}/query", method="POST",
                    json={"page_size": 100, "sorts": [_EDITED]}, records="results",
                    paginator=_PAGES, since=Since("last_edited_time"),
                    parent=Parent("databases", "id", "database_id"),
                ),
                RestEndpoint(
                    name="users", path="users", records="results", params={"page_size": 100},
                    paginator=cursor("next_cursor", "start_cursor"),
                ),
            ),
            probe="users",
        )  # fmt: skip


NOTION = NotionConnector()


def _search(name: str, what: str) -> RestEndpoint:
    wanted: dict[str, Any] = {
        "filter": {"property": "object", "value": what}, "sort": _EDITED, "page_size": 100,
    }  # fmt: skip
    return RestEndpoint(
        name=name, path="search", method="POST", json=wanted, records="results",
        paginator=_PAGES, since=Since("last_edited_time"),
    )  # fmt: skip
