"""``client.api_keys``"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from datanika.client.resource import Resource
from datanika.contracts.api import ApiKeyCreatedOut, ApiKeyIn, ApiKeyOut

Sort = Literal["id", "-id", "name", "-name", "created_at", "-created_at"]


class ApiKeys(Resource):
    """Credentials for programs."""

    def list(
        self, *, sort: Sort | None = None, page_size: int | None = None
    ) -> Iterator[ApiKeyOut]:
        """Every key, without its plaintext."""
        return self._items(ApiKeyOut, "api-keys", sort=sort, limit=page_size)

    def get(self, api_key_id: int) -> ApiKeyOut:
        """One key, without its plaintext."""
        return self._get(ApiKeyOut, f"api-keys/{api_key_id}")

    def create(self, api_key: ApiKeyIn, *, idempotency_key: str | None = None) -> ApiKeyCreatedOut:
        """A new key; its plaintext is in this answer only."""
        return self._post(ApiKeyCreatedOut, "api-keys", api_key, idempotency_key=idempotency_key)

    def revoke(self, api_key_id: int) -> None:
        """It opens nothing from now on."""
        self._delete(f"api-keys/{api_key_id}")
