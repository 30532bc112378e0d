"""What an import of a dbt project took, changed and refused."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from datanika.contracts.api.base import Answer


class ImportFinding(Answer):
    """``refused``: it is not taken, and the import stops unless that is accepted. ``changed``: it
    is taken in another form, or it has no meaning here."""

    level: Literal["changed", "refused"]
    code: str
    path: str
    line: int | None = None
    name: str | None = Field(default=None, description="Of the transformation.")
    message: str


class ImportItem(Answer):
    name: str
    kind: str
    path: str
    action: Literal["create", "update", "unchanged"] = "create"


class ImportReport(Answer):
    """``applied`` is false for a dry run, and where nothing was written."""

    applied: bool
    items: tuple[ImportItem, ...] = ()
    findings: tuple[ImportFinding, ...] = ()

    @property
    def refused(self) -> tuple[ImportFinding, ...]:
        return tuple(one for one in self.findings if one.level == "refused")


class CompletionRelation(Answer):
    name: str
    kind: str
    columns: tuple[str, ...] = ()


class CompletionSource(Answer):
    source: str
    table: str
    columns: tuple[str, ...] = ()


class CompletionMacro(Answer):
    name: str
    arguments: str = ""


class CompletionOut(Answer):
    """What may be named at a destination. Columns are those that the catalog and the descriptions
    know."""

    refs: tuple[CompletionRelation, ...] = ()
    sources: tuple[CompletionSource, ...] = ()
    macros: tuple[CompletionMacro, ...] = ()
    tests: tuple[str, ...] = ()
    filters: tuple[str, ...] = ()
    variables: tuple[str, ...] = ()
