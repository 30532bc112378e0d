"""Ad hoc jobs."""

from __future__ import annotations

from typing import Any

from datanika.contracts.api.base import Answer


class JobOut(Answer):
    """An ad hoc job: ``state`` is pending, running, succeeded or failed."""

    id: str
    state: str
    result: dict[str, Any] | None = None
