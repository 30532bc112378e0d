"""API keys for programs."""

from __future__ import annotations

from fastapi import APIRouter, status

from datanika.api.deps import PROBLEMS, Caller, Id
from datanika.contracts.api import ApiKeyCreatedOut, ApiKeyIn, ApiKeyOut, Page
from datanika.db import get_session
from datanika.services.api_key_service import ApiKeyService

router = APIRouter(prefix="/api-keys", tags=["api keys"], responses=PROBLEMS)


@router.get("")
async def list_api_keys(actor: Caller) -> Page[ApiKeyOut]:
    """Every key of the organisation, without the keys themselves."""
    async with get_session(actor.scope) as session:
        keys = await ApiKeyService(session, actor).list()
        return Page(items=[ApiKeyOut.model_validate(key) for key in keys])


@router.post("", status_code=status.HTTP_201_CREATED)
async def create_api_key(body: ApiKeyIn, actor: Caller) -> ApiKeyCreatedOut:
    """A new key. It may do what its scopes and your role allow, and is shown this once."""
    async with get_session(actor.scope) as session:
        key, plaintext = await ApiKeyService(session, actor).create(
            body.name, body.scopes, body.expires_at
        )
        shown = ApiKeyOut.model_validate(key)
    return ApiKeyCreatedOut(**shown.model_dump(), key=plaintext)


@router.delete("/{api_key_id}", status_code=status.HTTP_204_NO_CONTENT)
async def revoke_api_key(api_key_id: Id, actor: Caller) -> None:
    """The key stops working now."""
    async with get_session(actor.scope) as session:
        await ApiKeyService(session, actor).revoke(api_key_id)
