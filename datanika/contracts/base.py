"""The common base of every contract."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Contract(BaseModel):
    """Frozen, strict about unknown fields: a typo in a spec is an error, not a silent default."""

    model_config = ConfigDict(frozen=True, extra="forbid")
