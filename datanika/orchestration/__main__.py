"""``python -m datanika.orchestration``: give a fresh Prefect what the platform needs of it."""

from __future__ import annotations

import asyncio

from datanika.orchestration.gateway import PrefectGateway


async def prepare_prefect() -> None:
    """The work pool and the maintenance deployments; safe to repeat."""
    async with PrefectGateway() as prefect:
        await prefect.ensure_work_pool()
        await prefect.deploy_maintenance()


if __name__ == "__main__":
    asyncio.run(prepare_prefect())
