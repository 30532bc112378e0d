"""Keys for programs. A key is shown once; its power is its scopes ∩ its maker's current role."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from datanika.errors import InvalidInput, NotFound
from datanika.models import ApiKey
from datanika.security import API_KEY_PREFIX, hash_token, new_api_key
from datanika.services.actor import Actor
from datanika.services.audit_service import record
from datanika.services.paging import OLDEST, PageRequest, RowPage, fetch_page, rows_of, sorts_of
from datanika.services.permissions import PERMISSIONS
from datanika.services.validation import valid_name

_SHOWN = len(API_KEY_PREFIX) + 6
"""Characters of a key that lists show, to tell one from another."""

SORTS = sorts_of(ApiKey, "name", "created_at")


class ApiKeyService:
    """An organisation's API keys."""

    def __init__(self, session: AsyncSession, actor: Actor) -> None:
        self.session = session
        self.actor = actor

    async def create(
        self, name: str, scopes: Sequence[str], expires_at: dt.datetime | None = None
    ) -> tuple[ApiKey, str]:
        """The key's row and its plaintext, which nobody can get again.

        Raises :class:`InvalidInput` for a scope that does not exist, :class:`PermissionDenied`
        for one the actor does not have.
        """
        self.actor.require("api_key:write")
        for scope in scopes:
            if scope not in PERMISSIONS:
                raise InvalidInput(
                    f"There is no permission {scope!r}.",
                    code="unknown_scope",
                    field="scopes",
                    hint=f"Use some of: {', '.join(PERMISSIONS)}.",
                )
            self.actor.require(scope)
        if not scopes:
            raise InvalidInput("A key needs a scope.", code="scopes_empty", field="scopes")
        if expires_at is not None and expires_at <= dt.datetime.now(dt.UTC):
            raise InvalidInput(
                "This is in the past.", code="expiry_in_the_past", field="expires_at"
            )
        plaintext = new_api_key()
        key = ApiKey(
            org_id=self.actor.org_id,
            user_id=self.actor.user_id,
            name=valid_name(name),
            prefix=plaintext[:_SHOWN],
            key_hash=hash_token(plaintext),
            scopes=sorted(set(scopes)),
            expires_at=expires_at,
        )
        self.session.add(key)
        await self.session.flush()
        await record(
            self.session, self.actor, "api_key.created", "api_key", key.id,
            new={"name": key.name, "scopes": key.scopes, "expires_at": expires_at},
        )  # fmt: skip
        return key, plaintext

    async def list(self, page: PageRequest = OLDEST) -> RowPage[ApiKey]:
        """The keys that were not revoked."""
        self.actor.require("api_key:read")
        query = rows_of(ApiKey).where(
            ApiKey.org_id == self.actor.org_id, ApiKey.revoked_at.is_(None)
        )
        return await fetch_page(self.session, query, SORTS, page)

    async def get(self, api_key_id: int) -> ApiKey:
        """Raises :class:`NotFound`, also for another organisation's key and a revoked one."""
        self.actor.require("api_key:read")
        return await self._find(api_key_id)

    async def revoke(self, api_key_id: int) -> None:
        """From the next request on the key is refused. Raises :class:`NotFound`."""
        self.actor.require("api_key:delete")
        key = await self._find(api_key_id)
        key.revoked_at = dt.datetime.now(dt.UTC)
        await self.session.flush()
        await record(
            self.session, self.actor, "api_key.revoked", "api_key", key.id, old={"name": key.name}
        )

    async def _find(self, api_key_id: int) -> ApiKey:
        key = await self.session.scalar(
            select(ApiKey).where(
                ApiKey.id == api_key_id,
                ApiKey.org_id == self.actor.org_id,
                ApiKey.revoked_at.is_(None),
            )
        )
        if key is None:
            raise NotFound("There is no such API key.", code="api_key_not_found")
        return key
