"""Stripe: https://docs.stripe.com/api."""

from __future__ import annotations

import datetime as dt
from typing import Any

from datanika.contracts.steps import ResolvedConnection
from datanika.engines.connectors.base import ConnectorConfig, secret
from datanika.engines.connectors.rest import RestApi, RestConnector, RestEndpoint, Since
from datanika.engines.connectors.rest_parts import bearer, unix

_NAMES = (
    "balance_transactions", "charges", "checkout/sessions", "coupons", "credit_notes", "customers",
    "disputes", "events", "invoiceitems", "invoices", "payment_intents", "payouts", "plans",
    "prices", "products", "promotion_codes", "refunds", "setup_intents", "subscriptions",
    "tax_rates", "transfers",
)  # fmt: skip


class StripeConfig(ConnectorConfig):
    secret_key: str = secret(
        "Secret key", "A restricted key with read permissions is enough.", pattern=r"^\S{8,300}$"
    )


class StripeConnector(RestConnector[StripeConfig]):
    kind = "stripe"
    title = "Stripe"
    description = "Payments, customers, invoices and subscriptions of a Stripe account."
    config = StripeConfig
    verified_live = False
    docs = "`created` arrives as a timestamp and is the incremental cursor of every table."

    def api(self, connection: ResolvedConnection) -> RestApi:
        return RestApi(
            base_url=self.base_url or "https://api.stripe.com/v1",
            auth=bearer(self.parse(connection).secret_key),
            endpoints=tuple(_endpoint(name) for name in _NAMES),
            probe="products",
        )


STRIPE = StripeConnector()


def _endpoint(path: str) -> RestEndpoint:
    params: dict[str, Any] = {"limit": 100}
    if path == "subscriptions":
        params["status"] = "all"
    return RestEndpoint(
        name=path.replace("/", "_"),
        path=path,
        records="data",
        params=params,
        # The next page starts after the last row of this one.
        paginator={
            "type": "cursor", "cursor_path": "data[-1].id", "cursor_param": "starting_after",
            "has_more_path": "has_more",
        },
        since=Since("created", "created[gte]", unix),
        lift=_timed,
    )  # fmt: skip


def _timed(row: dict[str, Any]) -> dict[str, Any]:
    created = row.get("created")
    if isinstance(created, int):
        return row | {"created": dt.datetime.fromtimestamp(created, dt.UTC).isoformat()}
    return row
