"""The statements that a request sends to the database, and the same without the filter on the
organisation that the application put there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    BinaryExpression,
    BindParameter,
    ClauseElement,
    Column,
    CompoundSelect,
    Delete,
    Select,
    TextClause,
    Update,
    event,
    true,
)
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql import operators
from sqlalchemy.sql.visitors import iterate, replacement_traverse

from datanika.db import APP_ROLE
from datanika.models import Base, Organization

TENANT_TABLES = {table for table in Base.metadata.tables.values() if "org_id" in table.c} | {
    Organization.__table__
}
Rewritable = Select[Any] | CompoundSelect[Any] | Update | Delete


@dataclass(frozen=True)
class Sent:
    """A statement with its parameters, as the application sent it in a tenant's scope."""

    statement: Any
    parameters: Any

    @property
    def reads(self) -> bool:
        return isinstance(self.statement, Select | CompoundSelect)

    def without_filter(self) -> Sent:
        """The same without a condition on the organisation."""
        stripped = replacement_traverse(self.statement, {}, _without)
        return Sent(stripped, self.parameters)

    @property
    def is_filtered(self) -> bool:
        """Whether a condition on the organisation is in it."""
        return any(_is_filter(part) for part in iterate(self.statement))

    @property
    def tables(self) -> frozenset[str]:
        """The tenants' tables that it touches."""
        return frozenset(
            part.name
            for part in iterate(self.statement)
            if part in TENANT_TABLES  # type: ignore[attr-defined]
        )


def _without(element: ClauseElement, **_: Any) -> Any:
    return true() if _is_filter(element) else None


def _is_filter(element: Any) -> bool:
    """``org_id = <value>`` of any table, or ``organizations.id = <value>``; not a join's
    ``a.org_id = b.org_id``."""
    if not isinstance(element, BinaryExpression) or element.operator is not operators.eq:
        return False
    sides = (element.left, element.right)
    return any(map(_is_organisation, sides)) and any(isinstance(s, BindParameter) for s in sides)


def _is_organisation(side: Any) -> bool:
    if not isinstance(side, Column) or side.table is None:
        return False
    return side.name == "org_id" or (side.name == "id" and side.table.name == "organizations")


@contextmanager
def recorded(connection: AsyncConnection) -> Iterator[list[Sent]]:
    """What is sent on ``connection`` in a tenant's scope while the block is open."""
    sent: list[Sent] = []
    scope: dict[str, Any] = {}

    def before(_: Any, statement: Any, many: Any, one: Any, __: Any) -> None:
        if isinstance(statement, TextClause) and "set_config('role'" in statement.text:
            scope.update(one)
        elif (
            isinstance(statement, Rewritable)
            and scope.get("role") == APP_ROLE
            and (found := Sent(statement, many or one)).tables
        ):
            sent.append(found)

    event.listen(connection.sync_connection, "before_execute", before)
    try:
        yield sent
    finally:
        event.remove(connection.sync_connection, "before_execute", before)
