"""Shopify's Admin API: https://shopify.dev/docs/api/admin-rest."""

from __future__ import annotations

from pydantic import Field

from datanika.contracts.steps import ResolvedConnection
from datanika.engines.connectors.base import ConnectorConfig, secret
from datanika.engines.connectors.rest import RestApi, RestConnector, RestEndpoint, Since
from datanika.engines.connectors.rest_parts import DOMAIN, key_header, zulu

_CHANGED = Since("updated_at", "updated_at_min", zulu)


class ShopifyConfig(ConnectorConfig):
    shop: str = Field(title="Shop", description="The name before .myshopify.com.", pattern=DOMAIN)
    token: str = secret("Access token", "Of a custom app with read scopes.", pattern=r"^\S{8,300}$")
    api_version: str = Field(
        default="2026-07", title="API version", pattern=r"^20[0-9]{2}-(01|04|07|10)$"
    )


class ShopifyConnector(RestConnector[ShopifyConfig]):
    kind = "shopify"
    title = "Shopify"
    description = "Orders, customers and products of a shop."
    config = ShopifyConfig
    verified_live = False
    docs = "The cursor `updated_at` is asked of Shopify, but for `locations`, which has no filter."

    def api(self, connection: ResolvedConnection) -> RestApi:
        config = self.parse(connection)
        names = ("orders", "customers", "products", "draft_orders", "checkouts", "price_rules",
                 "custom_collections", "smart_collections")  # fmt: skip
        changing = tuple(
            RestEndpoint(
                name=name,
                path=f"{name}.json",
                records=name,
                params={"limit": 250} | ({"status": "any"} if name == "orders" else {}),
                paginator="header_link",
                since=_CHANGED,
            )
            for name in names
        )
        return RestApi(
            base_url=self.base_url
            or f"https://{config.shop}.myshopify.com/admin/api/{config.api_version}",
            auth=key_header("X-Shopify-Access-Token", config.token),
            endpoints=(
                *changing,
                RestEndpoint(name="locations", path="locations.json", records="locations"),
            ),
            probe="locations",
        )


SHOPIFY = ShopifyConnector()
