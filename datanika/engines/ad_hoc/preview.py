"""The first rows of a table, file or endpoint."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

from datanika.contracts.ad_hoc import PreviewAction, RowsResult
from datanika.engines.ad_hoc.cells import RowCollector
from datanika.engines.ad_hoc.files import preview_files
from datanika.engines.ad_hoc.read_only import read_rows
from datanika.engines.warehouse.base import quoted


def preview(action: PreviewAction, folder: Path) -> RowsResult:
    """``action.limit`` rows; raises what the drivers raise, and :class:`StepError`."""
    if action.connection.kind == "files":
        return preview_files(action, folder)
    if action.connection.kind == "rest_api":
        return _endpoint(action, folder)
    names = ", ".join(quoted(name) for name in action.columns) or "*"
    schema = action.schema_name or ("public" if action.connection.kind == "postgres" else "main")
    sql = f"SELECT {names} FROM {quoted(schema)}.{quoted(action.table)}"
    return read_rows(action.connection, sql, action.limit, folder)


def _endpoint(action: PreviewAction, folder: Path) -> RowsResult:
    from datanika.contracts.spec import TableSpec
    from datanika.engines.dlt_engine.runtime import isolated_dlt
    from datanika.engines.dlt_engine.sources.rest import open_endpoint

    table = TableSpec(name=action.table, target="preview")
    with isolated_dlt(folder), open_endpoint(action.connection, table) as resource:
        items = list(islice(resource, action.limit + 1))
    names = action.columns or tuple(dict.fromkeys(name for item in items for name in item))
    rows = RowCollector(action.limit)
    rows.add([item.get(name) for name in names] for item in items)
    return rows.result((name, "json") for name in names)
