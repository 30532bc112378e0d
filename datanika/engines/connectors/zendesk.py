"""Zendesk Support: https://developer.zendesk.com/api-reference."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from datanika.contracts.steps import ResolvedConnection
from datanika.engines.connectors.base import ConnectorConfig, secret
from datanika.engines.connectors.rest import Call, RestApi, RestConnector, RestEndpoint, Since
from datanika.engines.connectors.rest_parts import DOMAIN, basic, unix


class ZendeskConfig(ConnectorConfig):
    subdomain: str = Field(
        title="Subdomain", description="The name before .zendesk.com.", pattern=DOMAIN
    )
    email: str = Field(title="E-mail", pattern=r"^[^@\s:/]+@[^@\s:/]+$")
    token: str = secret("API token", pattern=r"^\S{8,300}$")


class ZendeskConnector(RestConnector[ZendeskConfig]):
    kind = "zendesk"
    title = "Zendesk"
    description = "Tickets, users and organisations of Zendesk Support."
    config = ZendeskConfig
    verified_live = False
    docs = (
        "`tickets` and `users` come from the incremental exports, deleted tickets included; their "
        "cursor is `updated_at`."
    )

    def api(self, connection: ResolvedConnection) -> RestApi:
        config = self.parse(connection)
        lists = ("organizations", "groups", "ticket_fields", "macros", "brands",
                 "satisfaction_ratings", "ticket_metrics")  # fmt: skip
        return RestApi(
            base_url=self.base_url or f"https://{config.subdomain}.zendesk.com/api/v2",
            auth=basic(f"{config.email}/token", config.token),
            endpoints=(
                _export("tickets"),
                _export("users"),
                *(
                    RestEndpoint(
                        name=name, path=f"{name}.json", records=name, params={"page[size]": 100},
                        paginator={
                            "type": "cursor", "cursor_path": "meta.after_cursor",
                            "cursor_param": "page[after]", "has_more_path": "meta.has_more",
                        },
                        since=Since("updated_at"),
                    )
                    for name in lists
                ),
            ),
            probe="brands",
        )  # fmt: skip


ZENDESK = ZendeskConnector()


def _export(name: str) -> RestEndpoint:
    return RestEndpoint(
        name=name,
        path=f"incremental/{name}/cursor.json",
        records=name,
        params={"start_time": 1, "per_page": 1000},
        paginator=_until_end_of_stream,
        since=Since("updated_at", apply=_start),
    )


def _start(call: Call, value: Any) -> None:
    call.params["start_time"] = unix(value)


def _until_end_of_stream() -> Any:
    from dlt.sources.helpers.rest_client.paginators import JSONResponseCursorPaginator

    class ExportPaginator(JSONResponseCursorPaginator):
        """The last page has a cursor, too: that of the next export."""

        def update_state(self, response: Any, data: list[Any] | None = None) -> None:
            super().update_state(response, data)
            if response.json().get("end_of_stream") is not False:
                self._has_next_page = False

    return ExportPaginator(cursor_path="after_cursor", cursor_param="cursor")
