"""Google Sheets: https://developers.google.com/workspace/sheets/api/reference/rest."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from pydantic import Field

from datanika.contracts.steps import ResolvedConnection
from datanika.egress.guard import EgressGuard
from datanika.engines.connectors.base import Connector, ConnectorConfig, Reading, secret
from datanika.engines.connectors.oauth import service_account_token
from datanika.errors import TerminalStepError

if TYPE_CHECKING:
    from datanika.contracts.ad_hoc import (
        IntrospectAction,
        IntrospectionResult,
        PreviewAction,
        RowsResult,
        TableInfo,
    )
    from datanika.engines.dlt_engine.sources.base import SourceTable

SCOPE = "https://www.googleapis.com/auth/spreadsheets.readonly"
_IDS = re.compile(r"/spreadsheets/d/([A-Za-z0-9_-]+)")


class GoogleSheetsConfig(ConnectorConfig):
    spreadsheet: str = Field(
        title="Spreadsheet",
        description="Its id, or its address in the browser.",
        pattern=r"^(https://docs\.google\.com/spreadsheets/d/)?[A-Za-z0-9_-]{20,100}(/[^\s]*)?$",
    )
    service_account: str | None = secret(
        "Service account key",
        "The JSON file that Google made; share the spreadsheet with its e-mail address.",
        default=None,
    )
    api_key: str | None = secret("API key", "For a spreadsheet that everybody may read.", None)


class GoogleSheetsConnector(Connector[GoogleSheetsConfig]):
    """``base_url`` replaces Google's address: for tests, never for tenants."""

    kind = "google_sheets"
    title = "Google Sheets"
    description = "Sheets and ranges of a spreadsheet."
    config = GoogleSheetsConfig
    is_source = True
    verified_live = False
    docs = (
        "A table is a sheet (`Orders`) or a range (`Orders!A1:F500`); its first row names the "
        "columns. Numbers and checkboxes arrive as such; whole numbers among others become "
        "doubles; dates and times arrive as the text that the sheet shows; an empty cell is NULL."
    )

    def __init__(self, base_url: str | None = None) -> None:
        self.base_url = base_url

    def test(self, connection: ResolvedConnection) -> None:
        self._sheets(connection)

    def introspect(self, action: IntrospectAction, folder: Path) -> IntrospectionResult:
        from datanika.contracts.ad_hoc import TableInfo
        from datanika.engines.ad_hoc.pages import page_of_names

        sizes = self._sheets(action.connection)

        def describe(name: str) -> TableInfo:
            return TableInfo(schema_name=None, name=name, kind="file", row_estimate=sizes[name])

        return page_of_names(action, sizes, describe)

    def preview(self, action: PreviewAction, folder: Path) -> RowsResult:
        from datanika.engines.ad_hoc.files import preview_grid

        return preview_grid(self._rows(action.connection, action.table), action)

    def open_table(self, reading: Reading) -> SourceTable:
        from datanika.engines.dlt_engine.sources.grid import open_grid

        return open_grid(self._rows(reading.connection, reading.table.name), reading)

    def _sheets(self, connection: ResolvedConnection) -> dict[str, int]:
        """Sheet -> rows it has room for."""
        fields = "sheets.properties(title,sheetType,gridProperties.rowCount)"
        found = self._get(connection, "", {"fields": fields})
        return {
            str(one["properties"]["title"]): one["properties"]["gridProperties"]["rowCount"]
            for one in found.get("sheets", [])
            if one["properties"].get("sheetType", "GRID") == "GRID"
        }

    def _rows(self, connection: ResolvedConnection, table: str) -> list[list[Any]]:
        # A sheet's name may look like a range ("A1") and must be quoted then.
        range_ = table if "!" in table else "'" + table.replace("'", "''") + "'"
        how = {
            "valueRenderOption": "UNFORMATTED_VALUE", "dateTimeRenderOption": "FORMATTED_STRING",
        }  # fmt: skip
        found = self._get(connection, f"/values/{quote(range_, safe='')}", how)
        return list(found.get("values", []))

    def _get(self, connection: ResolvedConnection, path: str, query: dict[str, str]) -> Any:
        from datanika.engines.dlt_engine.sources.pinned_session import pinned_session

        config = self.parse(connection)
        base = self.base_url or "https://sheets.googleapis.com"
        found = _IDS.search(config.spreadsheet)
        place = found[1] if found else config.spreadsheet
        headers = self._login(config, connection)
        session = pinned_session(base, EgressGuard(connection.egress))
        try:
            response = session.get(
                f"{base}/v4/spreadsheets/{place}{path}", params=query, headers=headers, timeout=120
            )
            if response.status_code in (400, 404):
                raise TerminalStepError(
                    "There is no such sheet, range or spreadsheet.",
                    code="sheet_missing",
                    hint="Check its name, and that the spreadsheet is shared with the service "
                    "account.",
                )
            response.raise_for_status()
            return response.json()
        finally:
            session.close()

    def _login(self, config: GoogleSheetsConfig, connection: ResolvedConnection) -> dict[str, str]:
        if config.service_account:
            url = f"{self.base_url}/token" if self.base_url else None
            token = service_account_token(config.service_account, SCOPE, connection.egress, url)
            return {"Authorization": f"Bearer {token}"}
        if config.api_key:
            return {"X-Goog-Api-Key": config.api_key}
        raise TerminalStepError(
            f"Connection {connection.name!r} has neither a service account nor an API key.",
            code="connection_config_invalid",
            field="config.service_account",
            hint="Give one of the two.",
        )


GOOGLE_SHEETS = GoogleSheetsConnector()
