"""What a table's settings may not say together, and what they say in words."""

from __future__ import annotations

from collections.abc import Iterator

from datanika.contracts.catalog import connector_kinds
from datanika.contracts.enums import WriteDisposition
from datanika.contracts.shape import ContractMode, Filter, OnBadRow, SchemaContract
from datanika.contracts.spec import ConnectionRef, TableSpec
from datanika.errors import SpecError


def check_table_settings(table: TableSpec, where: str, field: str) -> None:
    """Raises :class:`SpecError` that names the setting. ``where`` names the table for people,
    ``field`` is its path in the specification."""
    _check_hidden(table, where, field)
    chosen = set(table.columns)
    needed = {
        "hash": table.hash,
        "mask": [mask.column for mask in table.mask],
        "delete_column": [table.delete_column] if table.delete_column else [],
        "primary_key": table.primary_key if table.write_disposition is _MERGE else [],
    }
    for setting, columns in needed.items():
        for column in columns:
            if chosen and column not in chosen:
                raise SpecError(
                    f"{where}: {column!r} of `{setting}` is not among the chosen columns.",
                    code="column_not_chosen",
                    field=f"{field}.{setting}",
                    hint="Add it to `columns`, or leave it out here.",
                )
    if table.delete_column is not None and table.write_disposition is not _MERGE:
        raise SpecError(
            f"{where}: rows can be deleted by a column only where rows are merged.",
            code="delete_needs_merge",
            field=f"{field}.delete_column",
            hint="Use write_disposition merge with a primary key.",
        )
    if table.cursor is not None and table.cursor.lag and table.cursor.lag_seconds:
        raise SpecError(
            f"{where}: a cursor has one lag.",
            code="lag_ambiguous",
            field=f"{field}.cursor.lag",
            hint="Use lag_seconds for times and dates, lag for numbers.",
        )


def check_sync(
    table: TableSpec, source: ConnectionRef, destination: ConnectionRef, where: str, field: str
) -> None:
    """Raises :class:`SpecError` where a table's changes cannot be read, or not be loaded as its
    settings want them."""
    if table.sync != "cdc":
        _check_merge(table, where, field)
        return
    for ref, able, verb in (
        (source, "gives_changes", "gives"),
        (destination, "takes_changes", "takes"),
    ):
        if not getattr(connector_kinds().get(ref.kind), able, False):
            kinds = ", ".join(n for n, kind in connector_kinds().items() if getattr(kind, able))
            raise SpecError(
                f"{where}: connection {ref.name!r} is of kind {ref.kind!r}, which {verb} no "
                "changes.",
                code="cdc_not_supported",
                field=f"{field}.sync",
                hint=f"Kinds that can: {kinds}.",
            )
    if table.write_disposition is not _MERGE:
        raise SpecError(
            f"{where}: changes of {table.name!r} can only be merged.",
            code="cdc_needs_merge",
            field=f"{field}.write_disposition",
            hint="Use write_disposition merge. The key is the source's own unless primary_key "
            "names it.",
        )
    unfit = next((name for name in _NOT_WITH_CDC if _is_set(table, name)), None)
    if table.schema_contract.data_types is not ContractMode.EVOLVE or (
        table.schema_contract.columns is ContractMode.DISCARD_ROW
    ):
        unfit = "schema_contract"
    if unfit is not None:
        raise SpecError(
            f"{where}: `{unfit}` of {table.name!r} cannot be obeyed when changes are read.",
            code="cdc_setting_unsupported",
            field=f"{field}.{unfit}",
            hint="Leave it out, or use sync query.",
        )


def _check_merge(table: TableSpec, where: str, field: str) -> None:
    """What a merge of rows that were read by queries can do."""
    if table.merge_strategy == "scd2" and table.delete_column is not None:
        raise SpecError(
            f"{where}: a history of {table.name!r} deletes nothing.",
            code="history_deletes_nothing",
            field=f"{field}.delete_column",
            hint="Use merge_strategy delete-insert or upsert, or leave delete_column out.",
        )
    if table.deletes == "hard":
        return
    if table.write_disposition is not _MERGE or table.cursor is not None:
        raise SpecError(
            f"{where}: deleted rows of {table.name!r} are known only from changes, or where every "
            "row is read and merged.",
            code="deletes_need_cdc",
            field=f"{field}.deletes",
            hint="Use sync cdc; or merge without a cursor; or delete_column for rows that their "
            "source marks.",
        )
    left_out = table.on_bad_row is OnBadRow.QUARANTINE or ContractMode.DISCARD_ROW in (
        table.schema_contract.columns,
        table.schema_contract.data_types,
    )
    if left_out or table.merge_strategy == "scd2" or table.delete_column is not None:
        raise SpecError(
            f"{where}: with `deletes: soft` a row of {table.name!r} that is left out would count "
            "as deleted, and a history or a delete_column says itself what is gone.",
            code="deletes_ambiguous",
            field=f"{field}.deletes",
            hint="Leave out quarantine, discard_row, scd2 and delete_column, or `deletes`.",
        )


def _is_set(table: TableSpec, name: str) -> bool:
    default = TableSpec.model_fields[name].get_default(call_default_factory=True)
    return bool(getattr(table, name) != default)


_NOT_WITH_CDC = (
    "cursor", "merge_strategy", "filters", "hash", "mask", "batch_rows", "delete_column",
    "on_bad_row",
)  # fmt: skip

_MERGE = WriteDisposition.MERGE


def _check_hidden(table: TableSpec, where: str, field: str) -> None:
    hidden = [*table.hash, *(mask.column for mask in table.mask)]
    twice = next((name for name in hidden if hidden.count(name) > 1), None)
    if twice is not None:
        raise SpecError(
            f"{where}: {twice!r} is hidden twice.",
            code="column_hidden_twice",
            field=f"{field}.mask",
            hint="Hash a column or mask it, once.",
        )
    if table.cursor is not None and table.cursor.column in hidden:
        raise SpecError(
            f"{where}: the cursor column {table.cursor.column!r} cannot be hidden, because its "
            "highest value is kept to go on from.",
            code="cursor_hidden",
            field=f"{field}.cursor.column",
            hint="Choose another cursor, or do not hide this column.",
        )
    masked = {mask.column for mask in table.mask}
    for name in table.primary_key:
        if name in masked:
            raise SpecError(
                f"{where}: {name!r} is a key, and masked keys would not stay apart.",
                code="key_masked",
                field=f"{field}.mask",
                hint="Hash it: equal values stay equal, and different ones different.",
            )
    if table.delete_column in hidden:
        raise SpecError(
            f"{where}: the delete column {table.delete_column!r} cannot be hidden.",
            code="delete_column_hidden",
            field=f"{field}.delete_column",
        )


def explain_table_settings(table: TableSpec) -> Iterator[str]:
    """The settings that are not as they are by default, one phrase each."""
    if table.cursor is not None and table.cursor.reads_again:
        again = f"{table.cursor.lag_seconds} s" if table.cursor.lag_seconds else table.cursor.lag
        yield f"the last {again} again"
    if table.columns:
        yield f"columns {', '.join(table.columns)}"
    if table.filters:
        yield f"where {' and '.join(map(_filter_words, table.filters))}"
    if table.hash:
        yield f"hashed {', '.join(table.hash)}"
    if table.mask:
        yield f"masked {', '.join(mask.column for mask in table.mask)}"
    if table.delete_column is not None:
        yield f"deleted where {table.delete_column}"
    if table.deletes == "soft":
        yield "deleted rows stay, marked in _deleted_at"
    if table.batch_rows is not None:
        yield f"{table.batch_rows} rows at a time"
    if table.schema_contract != SchemaContract():
        modes = [
            f"{name} {mode}"
            for name in ("tables", "columns", "data_types")
            if (mode := getattr(table.schema_contract, name)) is not ContractMode.EVOLVE
        ]
        yield f"schema: {', '.join(modes)}"
    if table.on_bad_row is OnBadRow.QUARANTINE:
        yield "bad rows to quarantine"


def _filter_words(one: Filter) -> str:
    if one.values:
        return f"{one.column} {one.operator} ({', '.join(map(str, one.values))})"
    value = "" if one.value is None else f" {one.value}"
    return f"{one.column} {one.operator}{value}"
