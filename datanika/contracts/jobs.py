"""Ad hoc jobs: what the API sends and the Celery workers take. Pipelines never go this way."""

from __future__ import annotations

from typing import Any

TEST_CONNECTION = "datanika.test_connection"
"""Arguments: org_id, user_id, connection_id. Ids only, never a credential."""

CELERY: dict[str, Any] = {
    "task_default_queue": "datanika",
    "task_serializer": "json",
    "result_serializer": "json",
    "accept_content": ["json"],
    "result_expires": 3600,
    "task_track_started": True,
    "task_time_limit": 120,
    "broker_connection_retry_on_startup": True,
}
