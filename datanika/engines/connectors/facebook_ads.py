"""Facebook (Meta) Ads: https://developers.facebook.com/docs/marketing-api."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

from pydantic import Field

from datanika.contracts.steps import ResolvedConnection
from datanika.engines.connectors.base import ConnectorConfig, secret
from datanika.engines.connectors.rest import Call, RestApi, RestConnector, RestEndpoint, Since
from datanika.engines.connectors.rest_parts import (
    answer,
    bearer,
    cursor,
    day,
    login_refused,
    rate_limited,
    unix,
)

_FIELDS = {
    "campaigns": "id,name,objective,status,effective_status,buying_type,daily_budget,"
    "lifetime_budget,start_time,stop_time,created_time,updated_time",
    "adsets": "id,name,campaign_id,status,effective_status,daily_budget,lifetime_budget,"
    "billing_event,optimization_goal,targeting,start_time,end_time,created_time,updated_time",
    "ads": "id,name,adset_id,campaign_id,status,effective_status,creative,created_time,"
    "updated_time",
}
_INSIGHTS = (
    "date_start,date_stop,account_id,campaign_id,campaign_name,adset_id,adset_name,ad_id,ad_name,"
    "impressions,clicks,spend,reach,frequency,cpc,cpm,ctr,actions,action_values"
)
# https://developers.facebook.com/docs/graph-api/guides/error-handling
_LOGIN = frozenset({10, 102, 190, 200})
_LIMITS = frozenset({4, 17, 32, 613, *range(80000, 80015)})


class FacebookAdsConfig(ConnectorConfig):
    account: str = Field(
        title="Ad account", description="Its number, without act_.", pattern=r"^[0-9]{1,30}$"
    )
    token: str = secret("Access token", "With ads_read.", pattern=r"^\S{8,1000}$")
    api_version: str = Field(default="v24.0", title="API version", pattern=r"^v[0-9]{2}\.0$")


class FacebookAdsConnector(RestConnector[FacebookAdsConfig]):
    kind = "facebook_ads"
    title = "Facebook Ads"
    description = "Campaigns, ad sets, ads and daily insights of an ad account."
    config = FacebookAdsConfig
    verified_live = False
    docs = (
        "`insights` has a row per ad and day of the last 37 months at most; its cursor is "
        "`date_start`: use merge and a lag of some days, because Meta changes recent days. The "
        "others' cursor is `updated_time`."
    )

    def api(self, connection: ResolvedConnection) -> RestApi:
        config = self.parse(connection)
        top = f"act_{config.account}"
        paging = cursor("paging.cursors.after", "after")
        return RestApi(
            base_url=self.base_url or f"https://graph.facebook.com/{config.api_version}",
            # Not as a parameter: addresses are logged.
            auth=bearer(config.token),
            check=_check,
            endpoints=(
                *(
                    RestEndpoint(
                        name=name, path=f"{top}/{name}", records="data", paginator=paging,
                        params={"fields": fields, "limit": 200},
                        since=Since("updated_time", apply=_updated),
                    )
                    for name, fields in _FIELDS.items()
                ),
                RestEndpoint(
                    name="insights", path=f"{top}/insights", records="data", paginator=paging,
                    primary_key=("ad_id", "date_start"),
                    params={
                        "fields": _INSIGHTS, "level": "ad", "time_increment": 1,
                        "date_preset": "maximum", "limit": 200,
                    },
                    since=Since("date_start", apply=_from_day),
                ),
            ),
            probe="campaigns",
        )  # fmt: skip


FACEBOOK_ADS = FacebookAdsConnector()


def _updated(call: Call, value: Any) -> None:
    rule = {"field": "updated_time", "operator": "GREATER_THAN", "value": unix(value) - 1}
    call.params["filtering"] = _literal([rule])


def _from_day(call: Call, value: Any) -> None:
    call.params.pop("date_preset", None)
    until = max(day(value), dt.datetime.now(dt.UTC).strftime("%Y-%m-%d"))
    call.params["time_range"] = _literal({"since": day(value), "until": until})


def _literal(value: Any) -> str:
    """JSON whose braces dlt does not take for placeholders."""
    return json.dumps(value).replace("{", "{{").replace("}", "}}")


def _check(response: Any) -> None:
    error = answer(response).get("error")
    if not isinstance(error, dict):
        return
    code = error.get("code")
    if code in _LOGIN:
        raise login_refused(f"code {code}")
    if code in _LIMITS:
        raise rate_limited(f"code {code}")
