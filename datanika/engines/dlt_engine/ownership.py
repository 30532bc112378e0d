"""Whose a destination table is: two organisations must not write one without knowing.

Inside an organisation the control plane knows all pipelines, and warns. Between organisations, or
installations, nobody knows of the others but the destination itself: each loaded table has a row
in ``_datanika_owner`` beside it. Who comes first has it; the row is how it is given away.
"""

from __future__ import annotations

from datanika.engines.warehouse import Warehouse
from datanika.engines.warehouse.base import Table, qualified
from datanika.errors import TerminalStepError

OWNER_TABLE = "_datanika_owner"


class Ownership:
    """The tables of one schema, as ``owner`` sees them. Used under the tables' locks.

    ``owner`` names an organisation of an installation; empty: nothing is checked or claimed.
    """

    def __init__(self, warehouse: Warehouse, schema: str, owner: str, pipeline: str) -> None:
        self._warehouse, self._place = warehouse, (schema, OWNER_TABLE)
        self._owner, self._pipeline = owner, pipeline
        self._owners: dict[str, str] = {}
        self._exists = False

    def read(self) -> None:
        """Learn who has which table."""
        if not self._owner:
            return
        self._exists = self._warehouse.exists(self._place)
        if self._exists:
            rows = self._warehouse.query(f"SELECT table_name, owner FROM {qualified(self._place)}")
            self._owners = {str(name): str(owner) for name, owner in rows}

    def check(self, table: str) -> None:
        """Raises :class:`TerminalStepError` ``table_owned_elsewhere``."""
        owner = self._owners.get(table, self._owner)
        if owner == self._owner:
            return
        target: Table = (self._place[0], table)
        raise TerminalStepError(
            f"{'.'.join(target)} is loaded by another organisation, and would be overwritten.",
            code="table_owned_elsewhere",
            field="target",
            hint="Choose another target or schema. If nobody else loads it any more, give it away "
            f"in the destination: DELETE FROM {qualified(self._place)} "
            f"WHERE table_name = '{table}'.",
        )

    def claim(self, table: str) -> None:
        """The table was loaded: it is ours from now on."""
        if not self._owner or table in self._owners:
            return
        place = qualified(self._place)
        if not self._exists:
            self._warehouse.create(
                f"CREATE TABLE IF NOT EXISTS {place} (table_name varchar(63) PRIMARY KEY, "
                "owner varchar(64) NOT NULL, pipeline varchar(200), "
                "claimed_at timestamp with time zone DEFAULT current_timestamp)"
            )
            self._exists = True
        self._warehouse.query(
            f"INSERT INTO {place} (table_name, owner, pipeline) VALUES (%s, %s, %s)",
            [table, self._owner, self._pipeline],
        )
        self._owners[table] = self._owner
