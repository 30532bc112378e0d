"""What an organisation sees of its use."""

from __future__ import annotations

import datetime as dt

import pytest

from datanika.config import settings
from datanika.db import SYSTEM, get_session
from datanika.models import Organization, UsageMonth
from datanika.services.usage_service import UsageService
from tests.support.tenants import make_tenant

pytestmark = pytest.mark.usefixtures("database")


async def test_use_is_shown_with_its_limits_and_the_months_before() -> None:
    tenant, neighbour = await make_tenant(), await make_tenant()
    async with get_session(SYSTEM) as session:
        organization = await session.get_one(Organization, tenant.org_id)
        organization.max_rows_per_month, organization.max_storage_bytes = 1000, 10**9
        for org_id, rows in ((tenant.org_id, 5), (neighbour.org_id, 9)):
            session.add(
                UsageMonth(
                    org_id=org_id,
                    month=dt.date(2020, 1, 1),
                    rows=rows,
                    runs=1,
                    storage_bytes=77,
                    storage_measured_at=dt.datetime(2020, 1, 31, tzinfo=dt.UTC),
                )
            )
    async with get_session(tenant.owner.scope) as session:
        shown = await UsageService(session, tenant.owner).read()
    assert (shown.rows.used, shown.rows.limit) == (0, 1000)
    assert (shown.storage_bytes.used, shown.storage_bytes.limit) == (77, 10**9)
    assert shown.concurrent_runs.limit == settings.default_max_concurrent_runs
    assert [(row.month.year, row.rows) for row in shown.history] == [(2020, 5)]
