"""What tenants write for dbt."""

from __future__ import annotations

import datetime as dt

from datanika.contracts.api.base import Answer
from datanika.contracts.spec import TransformationSpec


class TransformationOut(Answer):
    id: int
    name: str
    kind: str
    destination_id: int
    description: str
    spec: TransformationSpec
    revision: int
    created_at: dt.datetime
    updated_at: dt.datetime
