"""Pipedrive: https://developers.pipedrive.com/docs/api/v1 (the v2 lists)."""

from __future__ import annotations

from pydantic import Field

from datanika.contracts.steps import ResolvedConnection
from datanika.engines.connectors.base import ConnectorConfig, secret
from datanika.engines.connectors.rest import RestApi, RestConnector, RestEndpoint, Since
from datanika.engines.connectors.rest_parts import DOMAIN, cursor, key_header, zulu

_CHANGING = ("deals", "persons", "organizations", "activities", "products")


class PipedriveConfig(ConnectorConfig):
    company: str = Field(
        title="Company", description="The name before .pipedrive.com.", pattern=DOMAIN
    )
    token: str = secret("API token", pattern=r"^\S{8,300}$")


class PipedriveConnector(RestConnector[PipedriveConfig]):
    kind = "pipedrive"
    title = "Pipedrive"
    description = "Deals, people, organisations and activities of a Pipedrive company."
    config = PipedriveConfig
    verified_live = False
    docs = "The cursor `update_time` is asked of Pipedrive for all but `pipelines` and `stages`."

    def api(self, connection: ResolvedConnection) -> RestApi:
        config = self.parse(connection)
        return RestApi(
            base_url=self.base_url or f"https://{config.company}.pipedrive.com/api/v2",
            auth=key_header("x-api-token", config.token),
            endpoints=tuple(
                RestEndpoint(
                    name=name, path=name, records="data", params={"limit": 500},
                    paginator=cursor("additional_data.next_cursor", "cursor"),
                    since=Since("update_time", "updated_since", zulu)
                    if name in _CHANGING and name != "products"
                    else Since("update_time"),
                )
                for name in (*_CHANGING, "pipelines", "stages")
            ),
            probe="pipelines",
        )  # fmt: skip


PIPEDRIVE = PipedriveConnector()
