"""What exists in the destinations."""

from __future__ import annotations

import datetime as dt
from typing import Any, Literal

from pydantic import Field, computed_field

from datanika.contracts.api.base import Answer
from datanika.contracts.docs import EntryCheck, EntryDocs
from datanika.contracts.enums import StepState


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
    docs: EntryDocs = Field(
        default=EntryDocs(), description="What is written about it and its columns."
    )
    checks: dict[str, EntryCheck] = Field(
        default_factory=dict,
        description="How each of its tests ended last, by the test's name; `:freshness` is how "
        "fresh dbt found a source.",
    )

    @computed_field(  # type: ignore[prop-decorator]
        description="The worst of its tests: passed, warned, failed; null where none has run."
    )
    @property
    def tests_state(self) -> Literal["passed", "warned", "failed"] | None:
        """Tests that are gone do not count."""
        ended = {
            check.state
            for name, check in self.checks.items()
            if check.kind == "test" and (not self.docs.tests or name in self.docs.tests)
        }
        if StepState.FAILED in ended:
            return "failed"
        if StepState.WARNED in ended:
            return "warned"
        return "passed" if StepState.SUCCEEDED in ended else None

    @computed_field(  # type: ignore[prop-decorator]
        description="Of a source with a freshness: fresh, warned, stale; null where none was asked."
    )
    @property
    def freshness_state(self) -> Literal["fresh", "warned", "stale"] | None:
        """As dbt found it last."""
        check = self.checks.get(":freshness")
        if check is None:
            return None
        return {StepState.SUCCEEDED: "fresh", StepState.WARNED: "warned"}.get(check.state, "stale")  # type: ignore[return-value]
