"""SQL that connectors of databases share."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datanika.contracts.ad_hoc import PreviewAction


def first_rows(action: PreviewAction, schema: str) -> str:
    """A SELECT of a preview's columns; whoever runs it stops reading at the limit."""
    from datanika.engines.warehouse.base import quoted

    names = ", ".join(quoted(name) for name in action.columns) or "*"
    return f"SELECT {names} FROM {quoted(schema)}.{quoted(action.table)}"
