"""What may happen to a table between its source and its destination: which rows, which values,
and what becomes of those that do not fit. Names of modes are dlt's where dlt has them."""

from __future__ import annotations

import datetime as dt
from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from datanika.contracts.base import Contract
from datanika.contracts.text import MAX_INTEGER, Integer, Line

Column = Annotated[Line, Field(min_length=1)]
"""A column's name in the source."""

FilterValue = (
    Annotated[bool, Field(strict=True)]
    | Annotated[int, Field(ge=-MAX_INTEGER, le=MAX_INTEGER, strict=True)]
    | Annotated[float, Field(allow_inf_nan=False, strict=True)]
    | Line
    | Annotated[dt.datetime, Field(strict=True)]
    | Annotated[dt.date, Field(strict=True)]
)
"""Compared as a value of the column's type; decimals and times may be written as text."""


class FilterOperator(StrEnum):
    EQ = "eq"
    NE = "ne"
    GT = "gt"
    GTE = "gte"
    LT = "lt"
    LTE = "lte"
    IN = "in"
    NOT_IN = "not_in"
    IS_NULL = "is_null"
    NOT_NULL = "not_null"


class Filter(Contract):
    """A condition on one column; a row must meet all of a table's filters.

    As in SQL, an empty (NULL) value meets ``is_null`` and no other operator, ``ne`` and ``not_in``
    included. Text is compared by its code points, whatever the source's collation.
    """

    column: Column
    operator: FilterOperator = Field(examples=["gte"])
    value: FilterValue | None = Field(default=None, examples=["2026-01-01"])
    values: tuple[FilterValue, ...] = Field(
        default=(), max_length=1000, description="For in and not_in."
    )

    @model_validator(mode="after")
    def _complete(self) -> Self:
        several = self.operator in (FilterOperator.IN, FilterOperator.NOT_IN)
        none = self.operator in (FilterOperator.IS_NULL, FilterOperator.NOT_NULL)
        if several != bool(self.values):
            raise ValueError("`values` is for in and not_in, which need at least one")
        if (several or none) != (self.value is None):
            raise ValueError("`value` is needed by eq, ne, gt, gte, lt and lte, and by no other")
        return self


class Mask(Contract):
    """What arrives of a column instead of its values.

    ``text`` puts the same text in place of every value, ``keep_last`` hides all but the last
    ``keep`` characters of values that are longer than that (and shorter ones whole), ``null``
    leaves nothing. An empty (NULL) value stays empty.
    """

    column: Column
    how: Literal["text", "keep_last", "null"] = "text"
    text: Annotated[str, StringConstraints(max_length=100)] | None = Field(
        default=None, description="For text, and before what keep_last keeps. Default: ***."
    )
    keep: Integer = Field(default=4, ge=1, le=100, strict=True, description="For keep_last.")

    @property
    def cover(self) -> str:
        """What stands in place of what is hidden."""
        return "***" if self.text is None else self.text


class ContractMode(StrEnum):
    """dlt's words for what happens to what a schema does not know yet."""

    EVOLVE = "evolve"
    FREEZE = "freeze"
    DISCARD_VALUE = "discard_value"
    DISCARD_ROW = "discard_row"


class SchemaContract(Contract):
    """May a load change the destination's schema?

    ``freeze`` stops the load before the table is touched, and names the column.
    """

    tables: ContractMode = Field(
        default=ContractMode.EVOLVE,
        description="The table does not exist yet. Both discards load nothing.",
    )
    columns: ContractMode = Field(
        default=ContractMode.EVOLVE,
        description="The source has a new column: add it, stop, leave it out, or leave out the "
        "rows that have a value in it.",
    )
    data_types: ContractMode = Field(
        default=ContractMode.EVOLVE,
        description="A column changed its type: widen the destination's where that is lossless "
        "(a value that does not fit is a bad row), stop, load the value as NULL, or leave out the "
        "row.",
    )


class BreachKind(StrEnum):
    """What a load did with a column that is not what its table's schema says."""

    FROZEN = "frozen"
    """It stopped: the table is as it was."""
    DISCARDED = "discarded"
    """The column, its values or their rows were left out."""
    QUARANTINED = "quarantined"
    """Rows with values that do not fit are beside the table."""


class OnBadRow(StrEnum):
    """What becomes of a row with a value that cannot be stored as it is."""

    FAIL = "fail"
    QUARANTINE = "quarantine"
