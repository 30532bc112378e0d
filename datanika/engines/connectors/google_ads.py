"""Google Ads: https://developers.google.com/google-ads/api/rest/overview."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from datanika.contracts.steps import ResolvedConnection
from datanika.engines.connectors.base import ConnectorConfig, secret
from datanika.engines.connectors.oauth import GOOGLE, access_token
from datanika.engines.connectors.rest import Call, RestApi, RestConnector, RestEndpoint, Since
from datanika.engines.connectors.rest_parts import bearer, body_cursor, day

_TABLES: dict[str, tuple[str, tuple[str, ...], tuple[str, ...]]] = {
    # name: (resource, fields, key); a field is campaign.id, its column campaign_id
    "campaigns": (
        "campaign",
        ("campaign.id", "campaign.name", "campaign.status", "campaign.advertising_channel_type",
         "campaign.bidding_strategy_type"),
        ("campaign_id",),
    ),
    "ad_groups": (
        "ad_group",
        ("ad_group.id", "ad_group.name", "ad_group.status", "ad_group.type", "campaign.id"),
        ("ad_group_id",),
    ),
    "campaign_days": (
        "campaign",
        ("segments.date", "campaign.id", "campaign.name", "metrics.impressions", "metrics.clicks",
         "metrics.cost_micros", "metrics.conversions", "metrics.conversions_value"),
        ("campaign_id", "segments_date"),
    ),
    "ad_group_days": (
        "ad_group",
        ("segments.date", "ad_group.id", "campaign.id", "metrics.impressions", "metrics.clicks",
         "metrics.cost_micros", "metrics.conversions", "metrics.conversions_value"),
        ("ad_group_id", "segments_date"),
    ),
}  # fmt: skip
_FIRST_DAY = "2000-01-01"


class GoogleAdsConfig(ConnectorConfig):
    customer_id: str = Field(
        title="Customer", description="Ten digits, without dashes.", pattern=r"^[0-9]{10}$"
    )
    login_customer_id: str | None = Field(
        default=None, title="Manager account", description="If it is used through one.",
        pattern=r"^[0-9]{10}$",
    )  # fmt: skip
    developer_token: str = secret("Developer token", pattern=r"^\S{8,100}$")
    client_id: str = Field(title="OAuth client", pattern=r"^\S{8,300}$")
    client_secret: str = secret("OAuth client secret", pattern=r"^\S{8,300}$")
    refresh_token: str = secret("Refresh token", pattern=r"^\S{8,1000}$")
    api_version: str = Field(default="v23", title="API version", pattern=r"^v[0-9]{2}$")


class GoogleAdsConnector(RestConnector[GoogleAdsConfig]):
    kind = "google_ads"
    title = "Google Ads"
    description = "Campaigns, ad groups and their daily figures."
    config = GoogleAdsConfig
    verified_live = False
    docs = (
        "`campaign_days` and `ad_group_days` have a row per day; their cursor is `segments_date`: "
        "use merge and a lag of some days, because recent days change. Costs are in millionths of "
        "the account's currency. Google ends each version of its API after about a year: then "
        "raise the connection's."
    )

    def api(self, connection: ResolvedConnection) -> RestApi:
        config = self.parse(connection)
        form = {
            "grant_type": "refresh_token", "client_id": config.client_id,
            "client_secret": config.client_secret, "refresh_token": config.refresh_token,
        }  # fmt: skip
        url = f"{self.base_url}/token" if self.base_url else GOOGLE
        headers = {"developer-token": config.developer_token}
        if config.login_customer_id:
            headers["login-customer-id"] = config.login_customer_id
        return RestApi(
            base_url=self.base_url or f"https://googleads.googleapis.com/{config.api_version}",
            auth=bearer(access_token(url, form, connection.egress)),
            headers=headers,
            endpoints=tuple(_endpoint(config.customer_id, name) for name in _TABLES),
        )


GOOGLE_ADS = GoogleAdsConnector()


def _endpoint(customer: str, name: str) -> RestEndpoint:
    resource, fields, key = _TABLES[name]
    daily = "segments.date" in fields
    select = f"SELECT {', '.join(fields)} FROM {resource}"

    def since(call: Call, value: Any) -> None:
        assert call.json is not None
        call.json["query"] = _between(select, day(value))

    def lift(row: dict[str, Any]) -> dict[str, Any]:
        return {field.replace(".", "_"): _value(row, field) for field in fields}

    return RestEndpoint(
        name=name,
        path=f"customers/{customer}/googleAds:search",
        method="POST",
        json={"query": _between(select, _FIRST_DAY) if daily else select},
        primary_key=key,
        records="results",
        paginator=body_cursor("nextPageToken", "pageToken"),
        since=Since("segments_date", apply=since) if daily else None,
        lift=lift,
    )


def _between(select: str, start: str) -> str:
    return f"{select} WHERE segments.date BETWEEN '{start}' AND '2099-12-31'"


def _value(row: dict[str, Any], field: str) -> Any:
    """``campaign.bidding_strategy_type`` is written ``campaign.biddingStrategyType`` in JSON."""
    found: Any = row
    for part in field.split("."):
        first, *rest = part.split("_")
        found = (found or {}).get(first + "".join(word.capitalize() for word in rest))
    if isinstance(found, str) and field.startswith(("metrics.", "campaign.id", "ad_group.id")):
        # JSON has no 64-bit integers, so Google writes them as text.
        return int(found)
    return found
