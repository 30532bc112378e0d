"""An API's rows, judged one by one: dlt would put a value of another type into a column of its
own, and fail as a whole on one that cannot be stored."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from datanika.contracts.events import ColumnInfo
from datanika.contracts.shape import ContractMode, OnBadRow
from datanika.contracts.spec import TableSpec
from datanika.engines.dlt_engine.shape.bad_rows import HINT, Bad, BadRow, Discarded, row_json
from datanika.engines.dlt_engine.shape.contract import violated
from datanika.engines.dlt_engine.shape.json_values import problem_in
from datanika.errors import TerminalStepError


class RowJudge:
    """``stored`` are dlt's columns of the destination, empty for a table that is not there.

    The first value of a new column decides its type for the load, as it does for dlt.
    """

    def __init__(
        self,
        table: TableSpec,
        stored: Mapping[str, Any],
        normalize: Callable[[str], str],
        detections: Any,
        bad: Bad,
        discarded: Discarded,
    ) -> None:
        self._table, self._normalize, self._detections = table, normalize, detections
        self._bad, self._discarded = bad, discarded
        self._contract = table.schema_contract
        self._quarantines = table.on_bad_row is OnBadRow.QUARANTINE
        self._known = {name for name in stored if not name.startswith("_dlt_")}
        self._types: dict[str, str] = {
            name: column["data_type"] for name, column in stored.items() if "data_type" in column
        }
        self._names: dict[str, str] = {}
        self.seen: dict[str, str] = {}
        """Type of each column of the source that had a value, as JSON has it."""

    @property
    def columns(self) -> tuple[ColumnInfo, ...]:
        """What the source had."""
        return tuple(ColumnInfo(name=n, data_type=kind) for n, kind in self.seen.items())

    def judge(self, row: dict[str, Any]) -> dict[str, Any] | None:
        """The row as it is loaded; None: it is not. Raises :class:`TerminalStepError`."""
        found = problem_in(row)
        if found is not None:
            self._refuse(row, *found)
            return None
        result = dict(row)
        for name, value in row.items():
            if value is None:
                continue
            target = self._name(name)
            kind = _kind(value)
            if self.seen.setdefault(name, kind) != kind:
                self.seen[name] = "double" if {self.seen[name], kind} == _NUMBERS else "mixed"
            if self._known and target not in self._known:
                if self._contract.columns is ContractMode.FREEZE:
                    raise violated(self._table.name, name, "is new", "columns", target)
                if self._contract.columns is not ContractMode.EVOLVE:
                    self._discarded.columns[name] = True
                if self._contract.columns is ContractMode.DISCARD_ROW:
                    self._discarded.rows += 1
                    return None
                if self._contract.columns is ContractMode.DISCARD_VALUE:
                    del result[name]
                    continue
            if not self._fits(target, value):
                mode = self._contract.data_types
                if mode is ContractMode.FREEZE:
                    what = f"holds a value of type {kind}, and is {self._types[target]}"
                    raise violated(self._table.name, name, what, "data_types", target)
                if mode is not ContractMode.EVOLVE:
                    self._discarded.columns.setdefault(name, False)
                if mode is ContractMode.DISCARD_ROW:
                    self._discarded.rows += 1
                    return None
                if mode is ContractMode.DISCARD_VALUE:
                    self._discarded.values += 1
                    result[name] = None
                elif self._quarantines:
                    self._refuse(
                        row,
                        "type_changed",
                        f"Column {name!r}: a value of type {kind} does not fit the destination's "
                        f"{self._types[target]}.",
                        name,
                    )
                    return None
                # Else dlt evolves the schema by a column for values of this type.
        return result

    def _name(self, name: str) -> str:
        if name not in self._names:
            self._names[name] = self._normalize(name)
        return self._names[name]

    def _refuse(self, row: dict[str, Any], code: str, reason: str, column: str | None) -> None:
        if not self._quarantines:
            raise TerminalStepError(reason, code=code, hint=HINT)
        self._bad(BadRow(code, reason, column, row_json(row)))

    def _fits(self, target: str, value: Any) -> bool:
        from dlt.common.data_types.type_helpers import coerce_value, py_type_to_sc_type
        from dlt.common.schema.utils import autodetect_sc_type

        own: str = py_type_to_sc_type(type(value))
        if target not in self._types:
            detected = autodetect_sc_type(self._detections, type(value), value)
            self._types[target] = detected or own
            return True
        wanted = self._types[target]
        if wanted == own:
            return True
        if wanted == "double" and own == "bigint":
            return bool(float(value) == value)
        if wanted == "bool" or own == "bool":
            return bool(wanted in ("text", "json"))
        try:
            coerce_value(wanted, own, value)
        except Exception:
            return False
        return True


_NUMBERS = {"bigint", "double"}


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int):
        return "bigint"
    if isinstance(value, float):
        return "double"
    return "text" if isinstance(value, str) else "json"
