"""Google Analytics 4: https://developers.google.com/analytics/devguides/reporting/data/v1."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from datanika.contracts.steps import ResolvedConnection
from datanika.engines.connectors.base import ConnectorConfig, secret
from datanika.engines.connectors.oauth import service_account_token
from datanika.engines.connectors.rest import Call, RestApi, RestConnector, RestEndpoint, Since
from datanika.engines.connectors.rest_parts import bearer, day

SCOPE = "https://www.googleapis.com/auth/analytics.readonly"
_NAME = r"^[A-Za-z][A-Za-z0-9_]{0,62}$"
_FIELD = r"^[A-Za-z][A-Za-z0-9_:]{0,100}$"
_ROWS = 10_000


class Report(ConnectorConfig):
    """A table of one's own: dimensions and what is counted by them."""

    name: str = Field(title="Name", pattern=_NAME)
    dimensions: list[str] = Field(title="Dimensions", min_length=1, max_length=9)
    metrics: list[str] = Field(title="Metrics", min_length=1, max_length=10)


class GoogleAnalyticsConfig(ConnectorConfig):
    property_id: str = Field(title="Property", description="Its number.", pattern=r"^[0-9]{1,20}$")
    service_account: str = secret("Service account key", "The JSON file that Google made.")
    start_date: str = Field(
        default="2023-01-01", title="First day", pattern=r"^20[0-9]{2}-[01][0-9]-[0-3][0-9]$"
    )
    reports: list[Report] = Field(
        default=[
            Report(
                name="traffic",
                dimensions=["date", "sessionSource", "sessionMedium"],
                metrics=["sessions", "totalUsers", "screenPageViews"],
            ),
            Report(
                name="pages",
                dimensions=["date", "pagePath"],
                metrics=["screenPageViews", "totalUsers"],
            ),
        ],
        title="Reports",
        min_length=1,
        max_length=100,
    )


class GoogleAnalyticsConnector(RestConnector[GoogleAnalyticsConfig]):
    kind = "google_analytics"
    title = "Google Analytics"
    description = "Reports of a Google Analytics 4 property."
    config = GoogleAnalyticsConfig
    verified_live = False
    docs = (
        "A table is a report; its key is its dimensions. `date` is written 2024-01-31 and is the "
        "cursor: use merge and a lag of some days, because recent days change. Metrics arrive as "
        "the numbers that Google writes."
    )

    def api(self, connection: ResolvedConnection) -> RestApi:
        config = self.parse(connection)
        url = f"{self.base_url}/token" if self.base_url else None
        token = service_account_token(config.service_account, SCOPE, connection.egress, url)
        return RestApi(
            base_url=self.base_url or "https://analyticsdata.googleapis.com/v1beta",
            auth=bearer(token),
            endpoints=tuple(_endpoint(config, report) for report in config.reports),
        )


GOOGLE_ANALYTICS = GoogleAnalyticsConnector()


def _endpoint(config: GoogleAnalyticsConfig, report: Report) -> RestEndpoint:
    def lift(row: dict[str, Any]) -> dict[str, Any]:
        dimensions = [one.get("value") for one in row.get("dimensionValues", [])]
        result = dict(zip(report.dimensions, dimensions, strict=True))
        if (text := result.get("date")) and len(text) == 8:
            result["date"] = f"{text[:4]}-{text[4:6]}-{text[6:]}"
        values = [one.get("value") for one in row.get("metricValues", [])]
        result |= {name: _number(value) for name, value in zip(report.metrics, values, strict=True)}
        return result

    def since(call: Call, value: Any) -> None:
        assert call.json is not None
        call.json["dateRanges"] = [{"startDate": day(value), "endDate": "today"}]

    return RestEndpoint(
        name=report.name,
        path=f"properties/{config.property_id}:runReport",
        method="POST",
        json={
            "dateRanges": [{"startDate": config.start_date, "endDate": "today"}],
            "dimensions": [{"name": name} for name in report.dimensions],
            "metrics": [{"name": name} for name in report.metrics],
            # One order, or pages would overlap.
            "orderBys": [{"dimension": {"dimensionName": name}} for name in report.dimensions],
            "limit": _ROWS,
        },
        primary_key=tuple(report.dimensions),
        records="rows",
        paginator={
            "type": "offset", "limit": _ROWS, "offset_body_path": "offset",
            "limit_body_path": "limit", "total_path": "rowCount",
        },
        since=Since("date", apply=since),
        lift=lift,
    )  # fmt: skip


def _number(text: Any) -> Any:
    try:
        return int(text)
    except (TypeError, ValueError):
        pass
    try:
        return float(text)
    except (TypeError, ValueError):
        return text
