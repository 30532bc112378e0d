"""What every table promises, without a server where that is enough."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sqlalchemy import BigInteger, create_engine
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapper, Session

from datanika.db import SYSTEM, get_session
from datanika.models import Base, Connection, Organization, Pipeline, PipelineVersion, User
from datanika.models.base import TenantMixin, TimestampMixin
from tests.support.superuser import superuser
from tests.support.tenants import make_tenant

MAPPERS: list[Mapper[Any]] = sorted(
    Base.registry.mappers, key=lambda mapper: mapper.class_.__name__
)
EVENT_TABLES = {"audit_log", "run_logs", "lineage_edges"}
"""Written once, never changed, never softly deleted."""


@pytest.mark.parametrize("mapper", MAPPERS, ids=lambda mapper: mapper.class_.__name__)
def test_tables_are_made_alike(mapper: Mapper[Any]) -> None:
    table = mapper.local_table
    assert isinstance(table.c.id.type, BigInteger) and table.c.id.identity is not None
    for key in table.foreign_keys:
        assert isinstance(key.parent.type, BigInteger) and key.ondelete is not None
    if table.name not in EVENT_TABLES:
        assert issubclass(mapper.class_, TimestampMixin)
    if "org_id" in table.c and table.name not in {"idempotency_keys", "refresh_tokens"}:
        assert issubclass(mapper.class_, TenantMixin)
    assert all(relationship.lazy == "raise" for relationship in mapper.relationships)


def test_the_models_work_on_sqlite_for_unit_tests() -> None:
    engine = create_engine("sqlite://")
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        organization = Organization(name="Acme", slug="acme")
        session.add(organization)
        session.flush()
        session.add(Connection(org_id=organization.id, name="a", kind="k", config={"x": [1]}))
        session.commit()
        assert session.query(Connection).one().config == {"x": [1]}
        session.add(Connection(org_id=organization.id, name="a", kind="k", config={}))
        with pytest.raises(IntegrityError):
            session.commit()
    engine.dispose()


def test_a_password_hash_is_not_loaded_by_the_way() -> None:
    engine = create_engine("sqlite://")
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        session.add(User(email="a@example.com", name="A", password_hash="x"))
        session.commit()
        session.expunge_all()
        user = session.query(User).one()
        with pytest.raises(Exception, match="raiseload"):
            _ = user.password_hash
    engine.dispose()


async def test_a_version_cannot_be_rewritten_even_by_a_superuser(
    database: object, postgres_server: Any
) -> None:
    tenant = await make_tenant()
    async with get_session(SYSTEM) as session:
        pipeline = Pipeline(org_id=tenant.org_id, name="p")
        session.add(pipeline)
        await session.flush()
        session.add(
            PipelineVersion(
                org_id=tenant.org_id, pipeline_id=pipeline.id, number=1, spec={"a": 1},
                spec_hash="0" * 64, created_by=tenant.owner.user_id,
            )
        )  # fmt: skip
    await asyncio.to_thread(rewrite_version, postgres_server.admin_url, tenant.owner.user_id)


def rewrite_version(admin_url: str, user_id: int) -> None:
    with superuser(admin_url) as sql:
        for change in ("spec = '{}'", "number = 2", "spec_hash = ''"):
            with pytest.raises(Exception, match="immutable"):
                sql.execute(f"UPDATE pipeline_versions SET {change}")
        sql.execute(f"DELETE FROM users WHERE id = {user_id}")
        sql.execute("SELECT created_by, spec FROM pipeline_versions")
        assert sql.fetchone() == (None, {"a": 1})
