"""What a load may change of its table's schema, decided before the table is touched.

A column that widened in the source is widened in the destination where that loses nothing:
integers to wider integers, integers and decimals to decimals that hold both. Any other change of
type leaves the column as it is, and each value has to fit (``bad_rows``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from datanika.contracts.shape import ContractMode
from datanika.contracts.spec import TableSpec
from datanika.engines.dlt_engine.arrow_types import column_hint, stored_type, travel_type
from datanika.engines.failures import chain_of
from datanika.engines.warehouse import Warehouse
from datanika.engines.warehouse.base import Table, qualified, quoted
from datanika.errors import TerminalStepError

if TYPE_CHECKING:
    import pyarrow as pa

    from datanika.engines.dlt_engine.sources.base import SourceTable


@dataclass(frozen=True)
class Widening:
    """``column`` of the destination gets type ``kind``."""

    column: str
    before: pa.DataType
    kind: pa.DataType


@dataclass
class Columns:
    """How each column of the source that is loaded arrives, by its name in the source."""

    types: dict[str, pa.DataType] = field(default_factory=dict)
    hints: dict[str, dict[str, Any]] = field(default_factory=dict)
    """What dlt must be told of new columns, by their destination names."""
    left_out: list[str] = field(default_factory=list)
    """New columns that the contract does not take."""
    emptying: list[str] = field(default_factory=list)
    """New columns for whose values the contract leaves out the row."""
    widenings: list[Widening] = field(default_factory=list)


def plan_columns(
    source: SourceTable,
    table: TableSpec,
    names: Mapping[str, str],
    stored: Mapping[str, Any],
) -> Columns:
    """``names``: source name -> destination name; ``stored``: dlt's columns of the destination,
    empty for a table that is not there.

    Raises :class:`TerminalStepError` ``schema_contract_violated``.
    """
    contract, result = table.schema_contract, Columns()
    for one in source.schema:
        if one.name == source.mark:
            continue
        name = names[one.name]
        travel = travel_type(one.type)
        known = stored_type(stored[name]) if name in stored else None
        if known is not None:
            result.types[one.name] = known
            if travel is not None and not holds(known, travel.type):
                if contract.data_types is ContractMode.FREEZE:
                    raise violated(
                        table.name,
                        one.name,
                        f"is {one.type} now, and {known} at the destination",
                        "data_types",
                        name,
                    )
                wider = widened(known, travel.type)
                if wider is not None and contract.data_types is ContractMode.EVOLVE:
                    result.widenings.append(Widening(name, known, wider))
        elif travel is not None:
            if stored and contract.columns is ContractMode.FREEZE:
                raise violated(table.name, one.name, "is new", "columns", name)
            if stored and contract.columns is not ContractMode.EVOLVE:
                result.left_out.append(one.name)
                if contract.columns is ContractMode.DISCARD_ROW:
                    result.emptying.append(one.name)
                continue
            result.types[one.name] = travel.type
            is_json = travel.is_json or one.name in source.json_columns
            if (hint := column_hint(travel.type, is_json)) is not None:
                result.hints[name] = {"name": name, **hint}
    return result


def check_new_table(table: TableSpec, node: str) -> bool:
    """Whether a table that is not there yet may be loaded. Raises
    :class:`TerminalStepError` ``schema_contract_violated``."""
    mode = table.schema_contract.tables
    if mode is ContractMode.FREEZE:
        raise ContractViolated(
            f"{node} does not exist, and its schema contract takes no new tables.",
            field="schema_contract.tables",
            hint="Set schema_contract.tables to evolve for its first load.",
        )
    return mode is ContractMode.EVOLVE


class ContractViolated(TerminalStepError):
    """``column``: its name in the destination; None: the table is not there."""

    default_code = "schema_contract_violated"
    column: str | None = None
    is_new = False


def violated(table: str, column: str, what: str, part: str, target: str) -> ContractViolated:
    """The source no longer is what the contract says; ``target``: the destination's name of the
    column."""
    error = ContractViolated(
        f"Column {column!r} of {table!r} {what}, which its schema contract does not allow.",
        field=f"schema_contract.{part}",
        hint=f"Correct the source, or set schema_contract.{part} to evolve, discard_value or "
        "discard_row.",
    )
    error.column, error.is_new = target, part == "columns"
    return error


def violation_in(error: BaseException) -> ContractViolated | None:
    """The one that dlt has wrapped in ``error``."""
    return next((one for one in chain_of(error) if isinstance(one, ContractViolated)), None)


def holds(known: pa.DataType, kind: pa.DataType) -> bool:
    """Whether a column of type ``known`` holds every value of ``kind`` exactly."""
    import pyarrow as pa

    types = pa.types
    if known.equals(kind):
        return True
    if types.is_integer(known) and types.is_integer(kind):
        return bool(known.bit_width >= kind.bit_width)
    if types.is_decimal(known):
        size = _digits(kind)
        return size is not None and (
            known.precision - known.scale >= size[0] and known.scale >= size[1]
        )
    return bool(types.is_float64(known) and types.is_integer(kind) and kind.bit_width <= 32)


def widened(known: pa.DataType, kind: pa.DataType) -> pa.DataType | None:
    """The narrowest type that holds all values of both; None where there is none."""
    import pyarrow as pa

    if pa.types.is_integer(known) and pa.types.is_integer(kind):
        return max(known, kind, key=lambda one: one.bit_width)
    first, second = _digits(known), _digits(kind)
    if first is None or second is None:
        return None
    whole, scale = max(first[0], second[0]), max(first[1], second[1])
    return pa.decimal128(whole + scale, scale) if whole + scale <= 38 else None


def _digits(kind: pa.DataType) -> tuple[int, int] | None:
    """(digits before the point, digits after it)"""
    import pyarrow as pa

    if pa.types.is_integer(kind):
        return {16: 5, 32: 10}.get(kind.bit_width, 19), 0
    if pa.types.is_decimal(kind):
        return kind.precision - kind.scale, kind.scale
    return None


def widen(
    warehouse: Warehouse,
    tables: list[Table],
    widening: Widening,
    columns: dict[str, Any],
    warn: Callable[[str], None],
) -> bool:
    """Widen the column of ``tables``, and in dlt's ``columns`` of it; False if it is kept.

    A database keeps the type of a column that a view reads: then ``warn`` hears of it.
    """
    target, *others = tables
    name = quoted(widening.column)
    kind = _sql_type(widening.kind)
    try:
        warehouse.query(f"ALTER TABLE {qualified(target)} ALTER COLUMN {name} SET DATA TYPE {kind}")
    except Exception as error:
        warn(
            f"Column {widening.column!r} stays {_sql_type(widening.before)}: the destination "
            f"refuses to make it {kind} ({type(error).__name__}). Views may depend on it; "
            "values that do not fit are bad rows."
        )
        return False
    present = warehouse.columns(others)
    for other in others:
        if any(column.name == widening.column for column in present.get(other, ())):
            warehouse.query(
                f"ALTER TABLE {qualified(other)} ALTER COLUMN {name} SET DATA TYPE {kind}"
            )
    _note(columns[widening.column], widening.kind)
    return True


def _note(column: dict[str, Any], kind: pa.DataType) -> None:
    import pyarrow as pa

    column.pop("precision", None)
    column.pop("scale", None)
    if pa.types.is_decimal(kind):
        column.update(data_type="decimal", precision=kind.precision, scale=kind.scale)
    else:
        column["data_type"] = "bigint"
        if kind.bit_width < 64:
            column["precision"] = kind.bit_width


def _sql_type(kind: pa.DataType) -> str:
    import pyarrow as pa

    if pa.types.is_decimal(kind):
        return f"decimal({kind.precision},{kind.scale})"
    return {16: "smallint", 32: "integer"}.get(kind.bit_width, "bigint")
