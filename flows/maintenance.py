"""What the platform does for itself: deployments of Prefect that call the control plane."""

from __future__ import annotations

from prefect import flow, get_run_logger

from datanika.execution.run_session import current_worker_api


@flow(name="datanika-reconcile", persist_result=False)
async def reconcile() -> None:
    """Submit what waits, close what died: see ``services/reconciler.py``."""
    counts = await current_worker_api().maintenance("reconcile")
    get_run_logger().info("Reconciled: %s", counts)


@flow(name="datanika-sweep", persist_result=False)
async def sweep() -> None:
    """End what Prefect has and nobody owns: see ``services/orphans.py``."""
    counts = await current_worker_api().maintenance("sweep")
    get_run_logger().info("Orphans: %s", counts)


@flow(name="datanika-retention", persist_result=False)
async def retention() -> None:
    """Delete what is older than its organisation keeps it."""
    counts = await current_worker_api().maintenance("retention")
    get_run_logger().info("Retention: %s", counts)
