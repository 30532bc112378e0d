"""Bring an organisation to what the demo needs, through the REST API; what is there is kept.

Everything is found again by its name, so a second demo creates nothing. It updates what differs:
the warehouse listens on another port after a restart, and a newer Datanika may bring newer SQL.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from datanika.client import DatanikaClient
from datanika.contracts.api import (
    ConnectionIn,
    ConnectionPatch,
    PipelineIn,
    PipelinePatch,
    ScheduleIn,
)
from datanika.contracts.spec import PipelineSpec
from datanika.demo import content
from datanika.demo.warehouse import Warehouse


@dataclass(frozen=True)
class Prepared:
    """The pipeline to run; ``created`` and ``updated`` count what was not as it should be."""

    pipeline_id: int
    created: int
    updated: int


class Setup:
    """One pass over connections, transformations, pipeline and schedule."""

    def __init__(self, api: DatanikaClient) -> None:
        self.api = api
        self.created = 0
        self.updated = 0

    def prepare(self, warehouse: Warehouse) -> Prepared:
        """Make or update what the demo's pipeline consists of."""
        source_id = self._connection(content.SOURCE, "files", {"format": "parquet"})
        destination_id = self._connection(
            content.WAREHOUSE, "postgres", warehouse.connection_config()
        )
        self._transformations(destination_id)
        pipeline_id = self._pipeline(content.pipeline(source_id, destination_id))
        self._schedule(pipeline_id)
        return Prepared(pipeline_id, self.created, self.updated)

    def _connection(self, name: str, kind: str, config: dict[str, Any]) -> int:
        for found in self.api.connections.list(name=name):
            # Secrets never come back: compare what does.
            public = {key: value for key, value in config.items() if key not in found.secrets}
            if public.items() - found.config.items():
                self.api.connections.update(found, ConnectionPatch(config=config))
                self.updated += 1
            return found.id
        self.created += 1
        return self.api.connections.create(ConnectionIn(name=name, kind=kind, config=config)).id

    def _transformations(self, destination_id: int) -> None:
        existing = {
            item.spec.name: item
            for item in self.api.transformations.list(destination_id=destination_id)
        }
        for wanted in content.transformations(destination_id):
            found = existing.get(wanted.name)
            if found is None:
                self.api.transformations.create(wanted)
                self.created += 1
            elif found.spec != wanted:
                self.api.transformations.update(found, wanted)
                self.updated += 1

    def _pipeline(self, spec: PipelineSpec) -> int:
        for found in self.api.pipelines.list(name=content.PIPELINE):
            present = self.api.pipelines.get(found.id)
            if present.spec != spec:
                self.api.pipelines.update(present, PipelinePatch(spec=spec))
                self.updated += 1
            return found.id
        self.created += 1
        return self.api.pipelines.create(
            PipelineIn(name=content.PIPELINE, spec=spec, description=content.DESCRIPTION)
        ).id

    def _schedule(self, pipeline_id: int) -> None:
        if not any(True for _ in self.api.schedules.list(pipeline_id=pipeline_id)):
            wanted = content.SCHEDULE
            self.api.schedules.create(
                ScheduleIn(pipeline_id=pipeline_id, cron=wanted.cron, timezone=wanted.timezone)
            )
            self.created += 1
