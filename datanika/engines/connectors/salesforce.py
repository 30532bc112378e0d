"""Salesforce: https://developer.salesforce.com/docs/atlas.en-us.api_rest.meta/api_rest."""

from __future__ import annotations

import re
from typing import Any

from pydantic import Field

from datanika.contracts.steps import ResolvedConnection
from datanika.engines.connectors.base import ConnectorConfig, secret
from datanika.engines.connectors.oauth import access_token
from datanika.engines.connectors.rest import Call, RestApi, RestConnector, RestEndpoint, Since
from datanika.engines.connectors.rest_parts import bearer, zulu
from datanika.errors import TerminalStepError

_OBJECTS = "objects"
_NAME = re.compile(r"^[A-Za-z][A-Za-z0-9_]{0,79}$")
_UNREAD = frozenset({"address", "location", "base64"})
"""Compounds of fields that are read one by one, and files."""


class SalesforceConfig(ConnectorConfig):
    domain: str = Field(
        title="Domain",
        description="Before .my.salesforce.com, such as acme or acme--test.sandbox.",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9-]{0,80}(\.(sandbox|develop|scratch))?$",
    )
    client_id: str = Field(title="Consumer key", pattern=r"^\S{8,300}$")
    client_secret: str = secret("Consumer secret", pattern=r"^\S{8,300}$")
    api_version: str = Field(default="v64.0", title="API version", pattern=r"^v[0-9]{2}\.0$")


class SalesforceConnector(RestConnector[SalesforceConfig]):
    kind = "salesforce"
    title = "Salesforce"
    description = "Objects of a Salesforce organisation, standard and custom."
    config = SalesforceConfig
    verified_live = False
    docs = (
        "A table is an object (`Account`, `Invoice__c`) with all of its fields but files; compound "
        "fields come as their parts. It logs in by the client credentials flow of a connected app. "
        "The cursor `SystemModstamp` is asked of Salesforce; deleted rows are not read."
    )

    def api(self, connection: ResolvedConnection) -> RestApi:
        config = self.parse(connection)
        host = self.base_url or f"https://{config.domain}.my.salesforce.com"
        form = {
            "grant_type": "client_credentials", "client_id": config.client_id,
            "client_secret": config.client_secret,
        }  # fmt: skip
        token = access_token(f"{host}/services/oauth2/token", form, connection.egress)
        return RestApi(
            base_url=f"{host}/services/data/{config.api_version}",
            auth=bearer(token),
            endpoints=(
                RestEndpoint(
                    name=_OBJECTS, path="sobjects", records="sobjects", primary_key=("name",)
                ),
            ),
        )

    def names(self, connection: ResolvedConnection) -> list[str]:
        found = self._first(connection, _OBJECTS, 5000)
        return [str(one["name"]) for one in found if one.get("queryable")]

    def endpoint(self, api: RestApi, connection: ResolvedConnection, name: str) -> RestEndpoint:
        if name == _OBJECTS:
            return api.endpoints[0]
        if not _NAME.fullmatch(name):
            raise TerminalStepError(
                f"{name!r} is not the name of an object.",
                code="endpoint_missing",
                hint="Use its API name, such as Account or Invoice__c.",
            )
        kinds = _described(api, connection, name)
        columns = [field for field, kind in kinds.items() if kind not in _UNREAD]
        select = f"SELECT {', '.join(columns)} FROM {name}"

        def modified(call: Call, value: Any) -> None:
            call.params["q"] = (
                f"{select} WHERE SystemModstamp >= {zulu(value)} ORDER BY SystemModstamp"
            )

        return RestEndpoint(
            name=name,
            path="query",
            primary_key=("Id",),
            records="records",
            params={"q": select},
            paginator={"type": "json_link", "next_url_path": "nextRecordsUrl"},
            since=Since("SystemModstamp", apply=modified),
            lift=_plain,
            columns={column: kinds[column] for column in columns},
        )


SALESFORCE = SalesforceConnector()


def _described(api: RestApi, connection: ResolvedConnection, name: str) -> dict[str, str]:
    """Field -> type."""
    from datanika.egress.guard import EgressGuard
    from datanika.engines.dlt_engine.sources.pinned_session import pinned_session

    session = pinned_session(api.base_url, EgressGuard(connection.egress))
    try:
        response = session.get(
            f"{api.base_url}/sobjects/{name}/describe",
            headers={"Authorization": f"Bearer {api.auth['token']}"},
            timeout=60,
        )
        if response.status_code == 404:
            raise TerminalStepError(
                f"Salesforce has no object {name!r}.",
                code="endpoint_missing",
                hint="Check its API name, and that the app's user may see it.",
            )
        response.raise_for_status()
        return {str(field["name"]): str(field["type"]) for field in response.json()["fields"]}
    finally:
        session.close()


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    row.pop("attributes", None)
    return row
