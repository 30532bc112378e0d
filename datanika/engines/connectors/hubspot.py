"""HubSpot: https://developers.hubspot.com/docs/api-reference."""

from __future__ import annotations

from typing import Any

from datanika.contracts.steps import ResolvedConnection
from datanika.engines.connectors.base import ConnectorConfig, secret
from datanika.engines.connectors.rest import RestApi, RestConnector, RestEndpoint, Since
from datanika.engines.connectors.rest_parts import bearer, cursor

_OBJECTS = (
    "contacts", "companies", "deals", "tickets", "products", "line_items", "quotes", "calls",
    "emails", "meetings", "notes", "tasks",
)  # fmt: skip
_PAGES = cursor("paging.next.after", "after")


class HubspotConfig(ConnectorConfig):
    token: str = secret(
        "Access token", "Of a private app with read scopes.", pattern=r"^\S{8,500}$"
    )


class HubspotConnector(RestConnector[HubspotConfig]):
    kind = "hubspot"
    title = "HubSpot"
    description = "Contacts, companies, deals, tickets and activities of a HubSpot account."
    config = HubspotConfig
    verified_live = False
    docs = (
        "HubSpot's lists cannot be filtered: with the cursor `updatedAt` every page is read, and "
        "only changed rows are loaded. Archived objects are not read."
    )

    def api(self, connection: ResolvedConnection) -> RestApi:
        objects = tuple(
            RestEndpoint(
                name=name,
                path=f"crm/v3/objects/{name}",
                records="results",
                params={"limit": 100},
                paginator=_PAGES,
                since=Since("updatedAt"),
            )
            for name in _OBJECTS
        )
        owners = RestEndpoint(
            name="owners", path="crm/v3/owners", records="results", params={"limit": 100},
            paginator=_PAGES, since=Since("updatedAt"),
        )  # fmt: skip
        pipelines: list[Any] = [
            RestEndpoint(
                name=f"{one[:-1]}_pipelines", path=f"crm/v3/pipelines/{one}", records="results"
            )
            for one in ("deals", "tickets")
        ]
        return RestApi(
            base_url=self.base_url or "https://api.hubapi.com",
            auth=bearer(self.parse(connection).token),
            endpoints=(*objects, owners, *pipelines),
            probe="contacts",
        )


HUBSPOT = HubspotConnector()
