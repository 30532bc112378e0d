"""What exists in the destinations."""

from __future__ import annotations

import datetime as dt
from typing import Any

from datanika.contracts.api.base import Answer


class CatalogEntryOut(Answer):
    id: int
    connection_id: int
    schema_name: str
    name: str
    kind: str
    columns: list[Any]
    upstream: list[str]
    rows: int | None
    run_id: int | None
    refreshed_at: dt.datetime | None
