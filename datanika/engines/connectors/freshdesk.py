"""Freshdesk: https://developers.freshdesk.com/api."""

from __future__ import annotations

from pydantic import Field

from datanika.contracts.steps import ResolvedConnection
from datanika.engines.connectors.base import ConnectorConfig, secret
from datanika.engines.connectors.rest import RestApi, RestConnector, RestEndpoint, Since
from datanika.engines.connectors.rest_parts import DOMAIN, basic, zulu

_EVER = "2010-01-01T00:00:00Z"
"""Without a moment, tickets older than thirty days are left out."""


class FreshdeskConfig(ConnectorConfig):
    domain: str = Field(
        title="Domain", description="The name before .freshdesk.com.", pattern=DOMAIN
    )
    api_key: str = secret("API key", pattern=r"^\S{8,300}$")


class FreshdeskConnector(RestConnector[FreshdeskConfig]):
    kind = "freshdesk"
    title = "Freshdesk"
    description = "Tickets, contacts and companies of a Freshdesk account."
    config = FreshdeskConfig
    verified_live = False
    docs = (
        "The cursor `updated_at` is asked of Freshdesk for `tickets` and `contacts`. Freshdesk "
        "ends a list after 300 pages (30,000 tickets): load them first with a cursor and a lag."
    )

    def api(self, connection: ResolvedConnection) -> RestApi:
        config = self.parse(connection)
        lists = (
            "companies",
            "agents",
            "groups",
            "roles",
            "products",
            "surveys/satisfaction_ratings",
        )
        return RestApi(
            base_url=self.base_url or f"https://{config.domain}.freshdesk.com/api/v2",
            # The key is the user; Freshdesk's document says "X" for the password.
            auth=basic(config.api_key, "X"),
            endpoints=(
                RestEndpoint(
                    name="tickets", path="tickets", records="$", paginator="header_link",
                    params={
                        "per_page": 100, "updated_since": _EVER, "order_by": "updated_at",
                        "order_type": "asc",
                    },
                    since=Since("updated_at", "updated_since", zulu),
                ),
                RestEndpoint(
                    name="contacts", path="contacts", records="$", paginator="header_link",
                    params={"per_page": 100},
                    since=Since("updated_at", "_updated_since", zulu),
                ),
                *(
                    RestEndpoint(
                        name=name.rpartition("/")[2], path=name, records="$",
                        paginator="header_link", params={"per_page": 100},
                        since=Since("updated_at"),
                    )
                    for name in lists
                ),
            ),
            probe="groups",
        )  # fmt: skip


FRESHDESK = FreshdeskConnector()
