"""Credentials at rest: where a ciphertext opens, and the change of keys."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import select, text

from datanika.config import settings
from datanika.db import SYSTEM, get_session
from datanika.errors import ConfigError, DatanikaError
from datanika.models import Connection, NotificationChannel
from datanika.security import new_encryption_key
from datanika.services.connection_service import ConnectionService, resolve_connection
from datanika.services.encryption import EncryptionService, rotate_secrets
from datanika.services.notification_service import open_secrets
from tests.support.channels import make_channel
from tests.support.tenants import Tenant, make_tenant

pytestmark = pytest.mark.usefixtures("database")
CONFIG = {"host": "db.example.com", "database": "d", "user": "u", "password": "canary-1"}


async def connect(tenant: Tenant, name: str = "dwh", **changes: Any) -> int:
    async with get_session(tenant.owner.scope) as session:
        service = ConnectionService(session, tenant.owner)
        return (await service.create(name, "postgres", CONFIG | changes)).id


async def ciphertext(connection_id: int) -> str:
    async with get_session(SYSTEM) as session:
        stored = await session.scalar(
            select(Connection.secrets).where(Connection.id == connection_id)
        )
        assert stored is not None
        return stored


async def password(tenant: Tenant, connection_id: int) -> str:
    async with get_session(tenant.owner.scope) as session:
        resolved = await resolve_connection(session, tenant.org_id, connection_id)
        return str(resolved.config["password"])


def test_what_goes_in_comes_out_and_is_not_readable_between() -> None:
    service = EncryptionService()
    stored = service.encrypt({"password": "canary"}, org_id=1, table="connections", row_id=2)
    assert "canary" not in stored
    assert service.decrypt(stored, org_id=1, table="connections", row_id=2) == {
        "password": "canary"
    }


@pytest.mark.parametrize(
    "elsewhere",
    [
        {"org_id": 9, "table": "connections", "row_id": 2},
        {"org_id": 1, "table": "channels", "row_id": 2},
        {"org_id": 1, "table": "connections", "row_id": 9},
    ],
)
def test_a_ciphertext_opens_nowhere_else(elsewhere: dict[str, Any]) -> None:
    service = EncryptionService()
    stored = service.encrypt({}, org_id=1, table="connections", row_id=2)
    with pytest.raises(DatanikaError) as refused:
        service.decrypt(stored, **elsewhere)
    assert refused.value.code == "ciphertext_misplaced"


async def test_ciphertexts_swapped_in_the_database_are_refused() -> None:
    ours, theirs = await make_tenant(), await make_tenant()
    ids = [await connect(ours), await connect(ours, "second"), await connect(theirs)]
    async with get_session(SYSTEM) as session:
        for target, source in ((ids[0], ids[1]), (ids[2], ids[1])):
            await session.execute(
                text("UPDATE connections SET secrets = :s WHERE id = :id"),
                {"s": await ciphertext(source), "id": target},
            )
    for tenant, connection_id in ((ours, ids[0]), (theirs, ids[2])):
        with pytest.raises(DatanikaError) as refused:
            await password(tenant, connection_id)
        assert refused.value.code == "ciphertext_misplaced"


async def test_rotation_moves_every_credential_to_the_newest_key(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tenants = [await make_tenant(), await make_tenant()]
    ids = [await connect(tenant) for tenant in tenants]
    old = settings.require("encryption_keys")
    new = f"k2:{new_encryption_key()}"
    monkeypatch.setattr(settings, "encryption_keys", SecretStr(f"{new},{old}"))
    async with get_session(SYSTEM) as session:
        assert await rotate_secrets(session) == 2
    async with get_session(SYSTEM) as session:
        assert await rotate_secrets(session) == 0
    monkeypatch.setattr(settings, "encryption_keys", SecretStr(new))
    for tenant, connection_id in zip(tenants, ids, strict=True):
        assert (await ciphertext(connection_id)).startswith("k2:")
        assert await password(tenant, connection_id) == "canary-1"


async def test_without_its_key_a_credential_fails_clearly(monkeypatch: pytest.MonkeyPatch) -> None:
    tenant = await make_tenant()
    connection_id = await connect(tenant)
    monkeypatch.setattr(settings, "encryption_keys", SecretStr(f"k2:{new_encryption_key()}"))
    with pytest.raises(ConfigError) as refused:
        await password(tenant, connection_id)
    assert refused.value.code == "encryption_key_unknown"


async def test_a_credential_saved_during_rotation_is_not_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tenant = await make_tenant()
    ids = [await connect(tenant, f"c{number}") for number in range(10)]
    old = settings.require("encryption_keys")
    monkeypatch.setattr(settings, "encryption_keys", SecretStr(f"k2:{new_encryption_key()},{old}"))

    async def rotate() -> None:
        async with get_session(SYSTEM) as session:
            await rotate_secrets(session)

    async def save(connection_id: int) -> None:
        async with get_session(tenant.owner.scope) as session:
            await ConnectionService(session, tenant.owner).update(
                connection_id, config=CONFIG | {"password": "canary-2"}
            )

    await asyncio.gather(rotate(), *(save(connection_id) for connection_id in reversed(ids)))
    assert {await password(tenant, connection_id) for connection_id in ids} == {"canary-2"}
    for connection_id in ids:
        assert (await ciphertext(connection_id)).startswith("k2:")


async def test_rotation_moves_the_secrets_of_notification_channels_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tenant = await make_tenant()
    channel, signing = await make_channel(tenant.owner)
    old = settings.require("encryption_keys")
    new = f"k2:{new_encryption_key()}"
    monkeypatch.setattr(settings, "encryption_keys", SecretStr(f"{new},{old}"))
    async with get_session(SYSTEM) as session:
        await rotate_secrets(session)
    monkeypatch.setattr(settings, "encryption_keys", SecretStr(new))
    async with get_session(SYSTEM) as session:
        kept = await session.get_one(NotificationChannel, channel.id)
        assert open_secrets(kept) == {"signing_secret": signing}
