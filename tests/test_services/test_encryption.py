"""Credentials at rest: where a ciphertext opens, and the change of keys."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import Text, select, text

from datanika.config import settings
from datanika.db import SYSTEM, get_session
from datanika.errors import ConfigError, DatanikaError
from datanika.models import Base, Connection, IdempotencyKey, NotificationChannel, User
from datanika.security import new_encryption_key
from datanika.services import encryption
from datanika.services.connection_service import ConnectionService, resolve_connection
from datanika.services.encryption import (
    CIPHERTEXTS,
    EncryptionService,
    count_outdated,
    rotate_keys,
)
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
    assert await count_outdated() == 2
    assert (await rotate_keys()).changed == 2
    assert ((await rotate_keys()).changed, await count_outdated()) == (0, 0)
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

    async def save(connection_id: int) -> None:
        async with get_session(tenant.owner.scope) as session:
            await ConnectionService(session, tenant.owner).update(
                connection_id, config=CONFIG | {"password": "canary-2"}
            )

    await asyncio.gather(rotate_keys(), *(save(connection_id) for connection_id in reversed(ids)))
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
    await rotate_keys()
    monkeypatch.setattr(settings, "encryption_keys", SecretStr(new))
    async with get_session(SYSTEM) as session:
        kept = await session.get_one(NotificationChannel, channel.id)
        assert open_secrets(kept) == {"signing_secret": signing}


PLAIN_TEXTS = {
    "connections.description",
    "pipelines.description",
    "pipelines.pause_reason",
    "transformations.description",
    "runs.error_message",
    "runs.error_hint",
    "run_steps.error_message",
    "run_steps.error_hint",
    "run_logs.message",
    "deliveries.error",
    "slot_releases.error_message",
}
"""Long texts that anybody of the organisation may read."""


def test_every_long_text_is_known_as_a_ciphertext_or_as_plain() -> None:
    """A new one belongs into ``CIPHERTEXTS`` if it holds secrets: else keys cannot be retired."""
    registered = {f"{one.table.name}.{one.column}" for one in CIPHERTEXTS}
    texts = {
        f"{table.name}.{column.name}"
        for table in Base.metadata.tables.values()
        for column in table.columns
        if type(column.type) is Text
    }
    assert registered & PLAIN_TEXTS == set()
    assert texts == registered | PLAIN_TEXTS


async def test_rotation_reaches_every_registered_column(monkeypatch: pytest.MonkeyPatch) -> None:
    tenant, service = await make_tenant(), EncryptionService()
    connection_id = await connect(tenant)
    async with get_session(SYSTEM) as session:
        user = User(email="x@example.com", name="X")
        channel = NotificationChannel(
            org_id=tenant.org_id, name="c", kind="slack", config={}, events=[], pipeline_ids=[]
        )
        answers = [
            IdempotencyKey(
                org_id=org_id,
                key_hash=f"{number:064}",
                request_hash="0" * 64,
                headers={},
                expires_at=datetime.now(UTC),
            )
            for number, org_id in enumerate((tenant.org_id, None))
        ]
        session.add_all([user, channel, *answers])
        await session.flush()
        for row, column in (
            (user, "totp_secret"),
            (channel, "secrets"),
            *((a, "body") for a in answers),
        ):
            org_id = getattr(row, "org_id", None) or 0
            bound = {"org_id": org_id, "table": row.__tablename__, "row_id": row.id}
            setattr(row, column, service.encrypt({"x": "canary"}, **bound))
    old = settings.require("encryption_keys")
    new = f"k2:{new_encryption_key()}"
    monkeypatch.setattr(settings, "encryption_keys", SecretStr(f"{new},{old}"))
    heard: dict[str, int] = {}
    result = await rotate_keys(heard.__setitem__)
    assert (result.changed, result.failed) == (5, [])
    assert heard == {
        "connections": 1, "notification_channels": 1, "users": 1, "idempotency_keys": 2,
    }  # fmt: skip
    # With the old key gone everything opens still.
    monkeypatch.setattr(settings, "encryption_keys", SecretStr(new))
    assert await count_outdated() == 0
    assert await password(tenant, connection_id) == "canary-1"


async def test_what_cannot_be_opened_is_named_and_left_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ours, theirs = await make_tenant(), await make_tenant()
    good, swapped = await connect(ours), await connect(theirs)
    stolen = await ciphertext(good)
    async with get_session(SYSTEM) as session:
        (await session.get_one(Connection, swapped)).secrets = stolen
    old = settings.require("encryption_keys")
    monkeypatch.setattr(settings, "encryption_keys", SecretStr(f"k2:{new_encryption_key()},{old}"))
    monkeypatch.setattr(encryption, "BATCH", 1)
    result = await rotate_keys()
    assert result.failed == [f"connections {swapped}: ciphertext_misplaced"]
    assert (result.changed, await count_outdated()) == (1, 1)
    assert await ciphertext(swapped) == stolen


async def test_a_new_key_in_the_file_is_used_without_a_restart(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    tenant, file = await make_tenant(), tmp_path / "keys"
    old, new = f"k1:{new_encryption_key()}", f"k2:{new_encryption_key()}"
    file.write_text(f"{old}\n")
    monkeypatch.setattr(settings, "encryption_keys_file", file)
    # One that was there before the key changed, as a process in the middle of its work has.
    service = EncryptionService()
    first = await connect(tenant)
    file.write_text(f"{new},{old}\n")
    second = await connect(tenant, "second")
    assert (await ciphertext(first)).startswith("k1:")
    assert (await ciphertext(second)).startswith("k2:")
    bound = {"org_id": tenant.org_id, "table": "connections", "row_id": second}
    assert service.decrypt(await ciphertext(second), **bound) == {"password": "canary-1"}
    file.unlink()
    with pytest.raises(ConfigError) as refused:
        await password(tenant, first)
    assert refused.value.code == "encryption_keys_unreadable"
