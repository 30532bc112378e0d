"""API keys for programs."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, status

from datanika.api.deps import PROBLEMS, Id, page_of
from datanika.api.paging import paging
from datanika.api.transaction import TenantRoute, Tx, needs
from datanika.contracts.api import ApiKeyCreatedOut, ApiKeyIn, ApiKeyOut, Page
from datanika.services.api_key_service import SORTS, ApiKeyService
from datanika.services.paging import PageRequest

router = APIRouter(
    prefix="/api-keys", tags=["api keys"], responses=PROBLEMS, route_class=TenantRoute
)
Paging = Annotated[PageRequest, paging(SORTS, "-id")]


@router.get("", **needs("api_key:read"))
async def list_api_keys(tx: Tx, page: Paging) -> Page[ApiKeyOut]:
    """The organisation's keys that were not revoked, without the keys themselves."""
    keys = await ApiKeyService(tx.session, tx.actor).list(page)
    return page_of(keys, ApiKeyOut)


@router.post("", status_code=status.HTTP_201_CREATED, **needs("api_key:write"))
async def create_api_key(body: ApiKeyIn, tx: Tx) -> ApiKeyCreatedOut:
    """A new key. It may do what its scopes and your role allow, and is shown this once."""
    key, plaintext = await ApiKeyService(tx.session, tx.actor).create(
        body.name, body.scopes, body.expires_at
    )
    return ApiKeyCreatedOut(**ApiKeyOut.model_validate(key).model_dump(), key=plaintext)


@router.get("/{api_key_id}", **needs("api_key:read"))
async def read_api_key(api_key_id: Id, tx: Tx) -> ApiKeyOut:
    """One key: what it may do, and when it was last used."""
    return ApiKeyOut.model_validate(await ApiKeyService(tx.session, tx.actor).get(api_key_id))


@router.delete("/{api_key_id}", status_code=status.HTTP_204_NO_CONTENT, **needs("api_key:delete"))
async def revoke_api_key(api_key_id: Id, tx: Tx) -> None:
    """The key stops working now."""
    await ApiKeyService(tx.session, tx.actor).revoke(api_key_id)
