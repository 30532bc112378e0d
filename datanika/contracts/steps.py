"""A resolved step: what an engine needs to do one step's work, credentials included.

It travels from the internal API to the flow process to the engine child, over a pipe, and is
never stored, logged or given to Prefect.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from datanika.contracts.base import Contract
from datanika.contracts.egress import EgressPolicy
from datanika.contracts.enums import StepKind
from datanika.contracts.events import ColumnBreach, ColumnInfo
from datanika.contracts.overrides import Interval
from datanika.contracts.spec import LoadStep, TransformStep


class ResolvedConnection(Contract):
    """A connection with its secrets in the clear."""

    id: int
    name: str
    kind: str
    config: dict[str, Any] = Field(repr=False)
    secret_fields: tuple[str, ...] = ()
    egress: EgressPolicy = Field(
        default=EgressPolicy(), description="Where it may lead to; what is left out is refused."
    )
    root: str | None = Field(
        default=None,
        description="Folder of the organisation that relative paths of `config` are under.",
    )

    def secrets(self) -> tuple[str, ...]:
        """The values that must never leave the engine child readable."""
        return tuple(str(self.config[name]) for name in self.secret_fields if self.config.get(name))


class CursorRewind(Contract):
    """A person's order to read a table again from ``state`` on.

    It is taken once: the destination remembers the ``number`` of the last one.
    """

    target: str
    number: int
    column: str
    state: dict[str, Any] = Field(description="As in CursorMoved; `last` is null: from the start.")


class ResolvedLoad(Contract):
    kind: Literal[StepKind.LOAD] = StepKind.LOAD
    run_id: int
    attempt: int
    pipeline_key: str = Field(description="Stable name of the dlt pipeline, e.g. p12_load_nyc.")
    step: LoadStep
    source: ResolvedConnection
    destination: ResolvedConnection
    rewinds: tuple[CursorRewind, ...] = Field(default=(), description="The last of each table.")
    full_refresh: bool = Field(default=False, description="Replace the tables, cursors too.")
    other_targets: tuple[str, ...] = Field(
        default=(), description="Destination tables of the step that this run leaves out."
    )
    interval: Interval | None = Field(
        default=None, description="Only rows whose cursor is inside; the cursor stays where it is."
    )
    owner: str = Field(
        default="",
        description="Names the organisation, of all installations, in the destination's table "
        "of owners; empty: tables are nobody's.",
    )
    known_columns: dict[str, tuple[ColumnInfo, ...]] = Field(
        default_factory=dict,
        description="By destination table: what its last successful load read.",
    )
    hash_key: str = Field(
        default="",
        repr=False,
        pattern=r"^[0-9a-f]*$",
        description="The organisation's own key for hashed columns, in hex; empty: none is hashed.",
    )

    def secrets(self) -> tuple[str, ...]:
        """The key and what HMAC makes of it: a source's error may quote its query."""
        if not self.hash_key:
            return ()
        block = bytes.fromhex(self.hash_key).ljust(64, b"\0")
        return (self.hash_key, *(bytes(b ^ pad for b in block).hex() for pad in (0x36, 0x5C)))


BLOCKED = "column_contract_broken"
"""Code of a dbt node that was not built because of a breach of what it reads."""


class ResolvedTransform(Contract):
    kind: Literal[StepKind.TRANSFORM] = StepKind.TRANSFORM
    run_id: int
    attempt: int
    step: TransformStep
    destination: ResolvedConnection
    project_name: str
    files: dict[str, str] = Field(description="The dbt project: relative path -> content.")
    owner: str = Field(
        default="",
        description="Names the organisation, of all installations; empty: its parse is not kept.",
    )
    done: tuple[str, ...] = Field(
        default=(), description="Unique ids of selected nodes that are not to be built again."
    )
    production_schema: str | None = Field(
        default=None,
        description="Where what is not selected is read, when the step builds elsewhere.",
    )
    production_files: dict[str, str] = Field(
        default_factory=dict, description="Of the project that builds there, what is not the same."
    )
    breaches: tuple[ColumnBreach, ...] = Field(
        default=(), description="Of its sources: nodes that read these columns are not built."
    )


ResolvedStep = Annotated[ResolvedLoad | ResolvedTransform, Field(discriminator="kind")]
