"""Exposures as the last nodes of lineage: what the tenant says uses which relations."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from datanika.compiler.project import source_places
from datanika.contracts.api.lineage import ExposureOut
from datanika.contracts.spec import TransformationSpec
from datanika.models import CatalogEntry, Transformation

Relation = tuple[int, str, str]
"""(connection, schema, name)"""


class Exposures:
    """An organisation's exposures, by the relations that they use."""

    def __init__(self, specs: Iterable[tuple[int, TransformationSpec]]) -> None:
        """``specs``: of exposures and sources, with their ids."""
        self._by_name: dict[tuple[int, str], list[Relation]] = {}
        self._by_place: dict[Relation, list[Relation]] = {}
        self.known: dict[Relation, ExposureOut] = {}
        found = list(specs)
        for transformation_id, spec in found:
            if spec.kind != "exposure" or spec.exposure is None or not spec.enabled:
                continue
            here = spec.destination_id
            relation = (here, "", spec.name)
            self.known[relation] = ExposureOut(
                transformation_id=transformation_id,
                description=spec.description,
                **spec.exposure.model_dump(exclude={"refs", "sources"}),
            )
            for ref in spec.exposure.refs:
                self._by_name.setdefault((here, ref), []).append(relation)
            own = [one for _, one in found if one.destination_id == here]
            places = source_places(own)
            for source in spec.exposure.sources:
                schema, table = places.get(source, source)
                self._by_place.setdefault((here, schema, table), []).append(relation)

    def of(self, relation: Relation, entry: CatalogEntry | None) -> list[Relation]:
        """What uses ``relation``, whose entry dbt may have named."""
        used = list(self._by_place.get(relation, ()))
        name = (entry.docs or {}).get("name") if entry is not None else None
        kind = (entry.docs or {}).get("kind") if entry is not None else None
        if kind not in ("model", "seed", "snapshot"):
            name = relation[2]
        return [*used, *self._by_name.get((relation[0], str(name)), ())]


async def load_exposures(session: AsyncSession, org_id: int) -> Exposures:
    """Those of the organisation now."""
    rows = await session.execute(
        select(Transformation.id, Transformation.spec)
        .where(
            Transformation.org_id == org_id,
            Transformation.deleted_at.is_(None),
            Transformation.kind.in_(("exposure", "source")),
        )
        .order_by(Transformation.id)
    )
    return Exposures((row.id, TransformationSpec.model_validate(row.spec)) for row in rows)
