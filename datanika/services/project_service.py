"""A destination's dbt project as a whole: in from an archive, all or nothing, and out again."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from datanika.compiler.completion import completion
from datanika.compiler.importing.archive import read_archive, write_archive
from datanika.compiler.importing.check import keep_what_holds
from datanika.compiler.importing.export import export_project
from datanika.compiler.importing.findings import Findings
from datanika.compiler.importing.reader import Imported, read_project
from datanika.contracts.api.projects import CompletionOut, ImportItem, ImportReport
from datanika.contracts.catalog import connector_kind
from datanika.contracts.spec import ConnectionRef, TransformationSpec
from datanika.errors import InvalidInput
from datanika.models import CatalogEntry, Transformation
from datanika.services.actor import Actor
from datanika.services.audit_service import record
from datanika.services.connection_service import ConnectionService
from datanika.services.transformation_service import (
    TransformationService,
    load_transformation_specs,
)


@dataclass(frozen=True)
class ImportChoice:
    """``dry_run``: only say what would be. ``replace``: what has the same name becomes what the
    archive says. ``accept_refused``: take the rest without what is refused."""

    dry_run: bool = True
    replace: bool = False
    accept_refused: bool = False


class ProjectService:
    """The dbt projects of the actor's organisation."""

    def __init__(self, session: AsyncSession, actor: Actor) -> None:
        self.session = session
        self.actor = actor

    async def import_archive(
        self, destination_id: int, content: bytes, choice: ImportChoice
    ) -> ImportReport:
        """What was taken, changed and refused. Raises :class:`InvalidInput`: of the archive, and
        ``import_refused`` where something is refused and that was not accepted."""
        self.actor.require("transformation:import")
        destination = await self._destination(destination_id)
        files = await asyncio.to_thread(read_archive, content)
        rows = await self._rows(destination_id)
        existing = {name: TransformationSpec.model_validate(row.spec) for name, row in rows.items()}
        found = Findings()

        def read() -> list[Imported]:
            imported = read_project(files, destination_id, found)
            taken = []
            for item in imported:
                old = existing.get(item.spec.name)
                if old is not None and old != item.spec and not choice.replace:
                    found.refused(
                        "name_taken", item.path, f"There is another {item.spec.name}; replace=true "
                        "takes this one.", item.line, item.spec.name,
                    )  # fmt: skip
                else:
                    taken.append(item)
            return keep_what_holds(taken, existing.values(), destination.kind, found)

        kept = await asyncio.to_thread(read)
        report = ImportReport(
            applied=False,
            items=tuple(_item(item, existing.get(item.spec.name)) for item in kept),
            findings=tuple(found.all),
        )
        if choice.dry_run:
            return report
        if report.refused and not choice.accept_refused:
            first = report.refused[0]
            raise InvalidInput(
                f"{len(report.refused)} parts of the project are refused, the first in "
                f"{first.path}: {first.message}",
                code="import_refused",
                field="body",
                hint="Look at the report of a dry run, then change the project or say "
                "accept_refused=true.",
            )
        await self._write(kept, rows, existing)
        return report.model_copy(update={"applied": True})

    async def export(self, destination_id: int, name: str) -> bytes:
        """A zip with a project called ``name`` that dbt's own command line runs."""
        self.actor.require("transformation:export")
        destination = await self._destination(destination_id)
        specs = await TransformationService(self.session, self.actor).specs([destination_id])
        files = await asyncio.to_thread(
            export_project, name, destination_id, destination.kind, specs
        )
        await record(
            self.session, self.actor, "transformation.exported", "connection", destination_id,
            new={"transformations": len(specs)},
        )  # fmt: skip
        return await asyncio.to_thread(write_archive, files)

    async def completion(self, destination_id: int) -> CompletionOut:
        """What a transformation of the destination may name."""
        self.actor.require("transformation:read")
        await self._destination(destination_id)
        specs = await load_transformation_specs(self.session, self.actor.org_id, [destination_id])
        entries = await self.session.execute(
            select(CatalogEntry.schema_name, CatalogEntry.name, CatalogEntry.columns)
            .where(
                CatalogEntry.org_id == self.actor.org_id,
                CatalogEntry.connection_id == destination_id,
                CatalogEntry.deleted_at.is_(None),
            )
            .order_by(CatalogEntry.schema_name, CatalogEntry.name)
        )
        known = {
            (schema, name): tuple(str(column["name"]) for column in columns)
            for schema, name, columns in entries
        }
        return completion(specs, known)

    async def _destination(self, destination_id: int) -> ConnectionRef:
        refs = await ConnectionService(self.session, self.actor).refs([destination_id], lock=True)
        destination = refs.get(destination_id)
        if destination is None:
            raise InvalidInput(
                "There is no such connection.", code="connection_not_found", field="destination_id"
            )
        if not connector_kind(destination.kind).supports_transform:
            raise InvalidInput(
                f"dbt cannot work in a connection of the kind {destination.kind}.",
                code="transform_not_supported",
                field="destination_id",
            )
        return destination

    async def _rows(self, destination_id: int) -> dict[str, Transformation]:
        rows = await self.session.scalars(
            select(Transformation)
            .where(
                Transformation.org_id == self.actor.org_id,
                Transformation.destination_id == destination_id,
                Transformation.deleted_at.is_(None),
            )
            .with_for_update()
        )
        return {row.name: row for row in rows}

    async def _write(
        self,
        kept: list[Imported],
        rows: dict[str, Transformation],
        existing: dict[str, TransformationSpec],
    ) -> None:
        service = TransformationService(self.session, self.actor)
        for item in kept:
            if existing.get(item.spec.name) != item.spec:
                await service.put(item.spec, rows.get(item.spec.name))


def _item(item: Imported, old: TransformationSpec | None) -> ImportItem:
    return ImportItem(
        name=item.spec.name,
        kind=item.spec.kind,
        path=item.path,
        action="create" if old is None else "unchanged" if old == item.spec else "update",
    )
