"""Bring an organisation to what the demo needs, through the REST API; what is there is kept.

Everything is found again by its name, so a second demo creates nothing. It updates what differs:
the warehouse listens on another port after a restart, and a newer Datanika may bring newer SQL.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from datanika.client import DatanikaClient
from datanika.contracts.api import ScheduleIn
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
        for found in self.api.connections():
            if found.name == name:
                # Secrets never come back: compare what does.
                public = {key: value for key, value in config.items() if key not in found.secrets}
                if public.items() - found.config.items():
                    self.api.update_connection(found.id, config)
                    self.updated += 1
                return found.id
        self.created += 1
        return self.api.create_connection(name, kind, config).id

    def _transformations(self, destination_id: int) -> None:
        existing = {
            item.spec.name: item
            for item in self.api.transformations()
            if item.spec.destination_id == destination_id
        }
        for wanted in content.transformations(destination_id):
            found = existing.get(wanted.name)
            if found is None:
                self.api.create_transformation(wanted)
                self.created += 1
            elif found.spec != wanted:
                self.api.update_transformation(found.id, wanted)
                self.updated += 1

    def _pipeline(self, spec: PipelineSpec) -> int:
        for found in self.api.pipelines(content.PIPELINE):
            if self.api.pipeline(found.id).spec != spec:
                self.api.update_pipeline(found.id, spec)
                self.updated += 1
            return found.id
        self.created += 1
        return self.api.create_pipeline(content.PIPELINE, spec, content.DESCRIPTION).id

    def _schedule(self, pipeline_id: int) -> None:
        if not any(True for _ in self.api.schedules(pipeline_id)):
            wanted = content.SCHEDULE
            self.api.create_schedule(
                ScheduleIn(pipeline_id=pipeline_id, cron=wanted.cron, timezone=wanted.timezone)
            )
            self.created += 1
