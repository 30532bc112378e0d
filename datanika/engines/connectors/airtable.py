"""Airtable: https://airtable.com/developers/web/api."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from pydantic import Field

from datanika.contracts.steps import ResolvedConnection
from datanika.engines.connectors.base import ConnectorConfig, secret
from datanika.engines.connectors.rest import Call, RestApi, RestConnector, RestEndpoint, Since
from datanika.engines.connectors.rest_parts import bearer, cursor, zulu

_TABLES = "tables_of_base"


class AirtableConfig(ConnectorConfig):
    base: str = Field(title="Base", description="Its id: app…", pattern=r"^app[A-Za-z0-9]{6,30}$")
    token: str = secret(
        "Personal access token",
        "With the scopes data.records:read and schema.bases:read.",
        pattern=r"^\S{8,300}$",
    )


class AirtableConnector(RestConnector[AirtableConfig]):
    kind = "airtable"
    title = "Airtable"
    description = "Tables of a base."
    config = AirtableConfig
    verified_live = False
    docs = (
        "A table is named as in Airtable. Its fields are columns, beside `id` and `createdTime`; "
        "an empty field is missing in Airtable's answer and NULL here. The cursor "
        "`createdTime`, which finds new records but not changed ones, is asked of Airtable."
    )

    def api(self, connection: ResolvedConnection) -> RestApi:
        config = self.parse(connection)
        return RestApi(
            base_url=self.base_url or "https://api.airtable.com/v0",
            auth=bearer(config.token),
            endpoints=(
                RestEndpoint(
                    name=_TABLES, path=f"meta/bases/{config.base}/tables", records="tables"
                ),
            ),
        )

    def names(self, connection: ResolvedConnection) -> list[str]:
        return [str(table["name"]) for table in self._first(connection, _TABLES, 1000)]

    def endpoint(self, api: RestApi, connection: ResolvedConnection, name: str) -> RestEndpoint:
        if name == _TABLES:
            return api.endpoints[0]
        base = self.parse(connection).base
        return RestEndpoint(
            name=name,
            # Braces would be read as a placeholder.
            path=f"{base}/{quote(name, safe='')}",
            records="records",
            params={"pageSize": 100},
            paginator=cursor("offset", "offset"),
            since=Since("createdTime", apply=_created),
            lift=_fields,
        )


AIRTABLE = AirtableConnector()


def _created(call: Call, value: Any) -> None:
    # One second early: IS_AFTER leaves out what is equal.
    call.params["filterByFormula"] = (
        f"IS_AFTER(CREATED_TIME(), DATEADD('{zulu(value)}', -1, 'seconds'))"
    )


def _fields(record: dict[str, Any]) -> dict[str, Any]:
    fields: dict[str, Any] = record.get("fields") or {}
    return {"id": record["id"], "createdTime": record.get("createdTime")} | {
        # A field of that name would hide the record's own.
        (f"field {name}" if name in ("id", "createdTime") else name): value
        for name, value in fields.items()
    }
