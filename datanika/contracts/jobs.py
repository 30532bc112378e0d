"""Ad hoc jobs: what the API sends and the Celery workers take. Pipelines never go this way."""

from __future__ import annotations

from enum import StrEnum
from typing import Any


class JobAction(StrEnum):
    """What a job does; its Celery task is called ``datanika.{action}``.

    A task's arguments are ids: org_id, job_id. Everything else is in the job's row, encrypted.
    """

    TEST_CONNECTION = "test_connection"
    INTROSPECT_CONNECTION = "introspect_connection"
    PREVIEW_CONNECTION = "preview_connection"
    QUERY_CONNECTION = "query_connection"
    LIST_SLOTS_CONNECTION = "list_slots_connection"
    DROP_SLOTS_CONNECTION = "drop_slots_connection"
    PREVIEW_FILE = "preview_file"
    COMPILE_TRANSFORMATION = "compile_transformation"
    PREVIEW_TRANSFORMATION = "preview_transformation"
    FORMAT_TRANSFORMATION = "format_transformation"
    LINT_TRANSFORMATION = "lint_transformation"

    @property
    def task_name(self) -> str:
        return f"datanika.{self.value}"

    @property
    def permission(self) -> str:
        """What it takes to start such a job and to read what it found."""
        return _PERMISSIONS[self.value]

    @property
    def resource_type(self) -> str:
        return self.value.rpartition("_")[2]


_PERMISSIONS = {
    "test_connection": "connection:test",
    "introspect_connection": "connection:test",
    "preview_connection": "connection:query",
    "query_connection": "connection:query",
    "list_slots_connection": "connection:test",
    "drop_slots_connection": "pipeline:delete",
    "preview_file": "file:preview",
    "compile_transformation": "transformation:preview",
    "preview_transformation": "transformation:preview",
    "format_transformation": "transformation:preview",
    "lint_transformation": "transformation:preview",
}


class JobState(StrEnum):
    PENDING = "pending"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"

    @property
    def is_final(self) -> bool:
        return self in (JobState.SUCCEEDED, JobState.FAILED)


RELEASE_SLOTS = "datanika.release_slots"
"""The task that drops what no pipeline uses any more at a source: (org_id, connection_id)."""

TIME_LIMIT = 120
"""Seconds that a worker gives to one job before it is killed."""

CELERY: dict[str, Any] = {
    "task_default_queue": "datanika",
    "task_serializer": "json",
    "result_serializer": "json",
    "accept_content": ["json"],
    # A job's state and result are in its row.
    "task_ignore_result": True,
    "task_time_limit": TIME_LIMIT,
    "broker_connection_retry_on_startup": True,
}
