"""An API that is described by an OpenAPI 3.0 or 3.1 document: its lists become tables."""

from __future__ import annotations

from pydantic import Field

from datanika.contracts.steps import ResolvedConnection
from datanika.engines.connectors.openapi_document import MAX_DOCUMENT, derive, load_document
from datanika.engines.connectors.rest import RestApi, RestConnector
from datanika.engines.connectors.rest_api import URL, LoginConfig, login_of
from datanika.errors import TerminalStepError


class OpenapiConfig(LoginConfig):
    document: str = Field(
        title="Document", description="OpenAPI 3.0 or 3.1, as JSON or YAML.", min_length=10,
        max_length=MAX_DOCUMENT,
    )  # fmt: skip
    base_url: str | None = Field(
        default=None,
        title="Base URL",
        description="If not the document's first server.",
        pattern=URL,
    )


class OpenapiConnector(RestConnector[OpenapiConfig]):
    kind = "openapi"
    title = "OpenAPI"
    description = "Any JSON API with an OpenAPI document: its lists become tables by themselves."
    config = OpenapiConfig
    docs = (
        "A table is a GET operation that answers with a list of objects, named by its path "
        "(`/v1/orders/{id}/items` is `orders_items`). Paging, key, columns and the cursor's "
        "parameter are derived from the document. An operation that needs values which the "
        "document does not give is left out; of lists below another list's rows, every row is "
        "followed."
    )

    def api(self, connection: ResolvedConnection) -> RestApi:
        config = self.parse(connection)
        server, endpoints = derive(load_document(config.document))
        base_url = config.base_url or server
        if base_url is None:
            raise TerminalStepError(
                "The document names no server with a full address.",
                code="connection_config_invalid",
                field="config.base_url",
                hint="Set the connection's base URL.",
            )
        if not endpoints:
            raise TerminalStepError(
                "The document has no GET operation that answers with a list.",
                code="endpoints_missing",
                field="config.document",
                hint="Describe the endpoints by hand in a connection of kind rest_api.",
            )
        return RestApi(
            base_url=base_url, auth=login_of(config, connection.name), endpoints=endpoints
        )


OPENAPI = OpenapiConnector()
