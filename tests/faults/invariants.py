"""What holds after every fault, once things had the time to heal.

    await check_invariants(Place(admin_url, home, warehouses=(...), canaries=(...)))

``datanika.config.settings`` name the control plane's database and Prefect. A list of sentences says
what is violated, after the platform's own sweepers of orphans had their turn.
"""

from __future__ import annotations

import asyncio
import base64
import datetime as dt
import subprocess
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import psutil
import psycopg2
from sqlalchemy import make_url, select

from datanika.config import settings
from datanika.contracts.enums import RunState
from datanika.contracts.events import utcnow
from datanika.db import SYSTEM, get_session
from datanika.execution.work_folders import sweep
from datanika.models import CatalogEntry, Connection, Run
from datanika.orchestration.deployments import TENANT_FLOW
from datanika.runtime.postgres import bin_dir
from datanika.services.audit_verification import verify_all
from datanika.services.orphans import sweep_orphans
from datanika.services.run_queue import has_room, startable_runs
from datanika.services.run_rows import FINAL_STATES
from tests.support.postgres import Warehouse

LIVE = ("PENDING", "RUNNING", "CANCELLING", "PAUSED")
RECONCILED = dt.timedelta(seconds=15)
"""How long something that is wrong may wait for the reconciler."""
_SYSTEM_SCHEMAS = ("pg_catalog", "information_schema", "pg_toast")
_STAGING = "datanika_staging_"


@dataclass(frozen=True)
class Place:
    """Where to look. ``admin_url`` is the superuser's; the warehouses are on the same server."""

    admin_url: str
    home: Path
    warehouses: Sequence[Warehouse] = ()
    canaries: Sequence[str] = ()
    worker: psutil.Process | None = None
    """Idle: nothing may be left below it but its fork server."""


async def check_invariants(place: Place, seconds: float = 0) -> None:
    """Fails with what is violated; it may take ``seconds`` until nothing is."""
    deadline = time.monotonic() + seconds
    while True:
        found = await violations(place)
        if not found:
            return
        if time.monotonic() > deadline:
            raise AssertionError("Violated:\n" + "\n".join(found))
        await asyncio.sleep(1)


async def violations(place: Place) -> list[str]:
    """Everything that is wrong, as sentences."""
    found = await _runs()
    if settings.prefect_api_url:
        # What the platform looks for once an hour it has to find.
        await sweep_orphans(RECONCILED)
        found += await _flow_runs()
    async for verdict in verify_all():
        if not verdict.is_whole:
            found.append(f"organisation {verdict.org_id}: audit chain: {verdict.reason}")
    found += await _catalog(place.warehouses)
    found += await asyncio.to_thread(left_behind, place)
    found += await asyncio.to_thread(_leaked, place)
    return found


async def _runs() -> list[str]:
    """Unfinished runs without a live lease or a place in the queue."""
    found: list[str] = []
    async with get_session(SYSTEM) as session:
        runs = list(
            await session.scalars(
                select(Run).where(Run.state.not_in(FINAL_STATES)).order_by(Run.id)
            )
        )
        startable = set(await startable_runs(session, limit=10_000))
        ahead: set[int] = set()
        for run in runs:
            behind = run.pipeline_id in ahead
            ahead.add(run.pipeline_id)
            lease = run.lease_expires_at
            if run.state != RunState.QUEUED.value:
                if lease is None or lease < utcnow() - RECONCILED:
                    found.append(f"run {run.id} is {run.state} and its lease ended at {lease}")
            elif (
                run.flow_run_id is None
                and run.waits_until is None
                and run.id not in startable
                and not behind
                and await has_room(session, run.org_id, run.id)
            ):
                found.append(f"run {run.id} is queued but nobody will ever start it")
            elif run.waits_until is not None and run.waits_until < utcnow() - RECONCILED:
                found.append(f"run {run.id} waits for what should have come by {run.waits_until}")
    return found


async def _flow_runs() -> list[str]:
    """Runs and Prefect's flow runs that do not match one to one."""
    async with get_session(SYSTEM) as session:
        query = select(Run.id, Run.flow_run_id, Run.state).where(Run.flow_run_id.is_not(None))
        rows = [(row.id, row.flow_run_id, row.state) for row in await session.execute(query)]
    flow_runs = await read_flow_runs()
    owner = {flow_run_id: (run_id, state) for run_id, flow_run_id, state in rows}
    found = [
        f"{count} runs have flow run {flow_run_id}"
        for flow_run_id, count in Counter(flow_run_id for _, flow_run_id, _ in rows).items()
        if count > 1
    ]
    for run_id, flow_run_id, state in rows:
        if flow_run_id not in flow_runs:
            found.append(f"run {run_id} is {state} but Prefect has no flow run {flow_run_id}")
    for flow_run_id, flow_run in flow_runs.items():
        kind, owned = flow_run["state_type"], owner.get(flow_run_id)
        since = dt.datetime.fromisoformat(flow_run["state"]["timestamp"])
        named = f"flow run {flow_run_id} ({flow_run['name']})"
        if kind in LIVE and (owned is None or RunState(owned[1]).is_final):
            if utcnow() - since > RECONCILED:
                found.append(f"{named} is {kind} since {since} but its run is {owned}")
        elif kind == "COMPLETED" and (owned is None or owned[1] != RunState.SUCCEEDED):
            found.append(f"{named} is completed but its run is {owned}")
        elif (
            kind in ("FAILED", "CRASHED", "CANCELLED")
            and owned is not None
            and not RunState(owned[1]).is_final
            and utcnow() - since > RECONCILED
        ):
            found.append(f"{named} is {kind} since {since} but run {owned[0]} is {owned[1]}")
    return found


async def read_flow_runs() -> dict[str, Any]:
    """Prefect's flow runs of tenants in our work pool, by id."""
    secret = settings.prefect_api_auth_string
    user, _, password = (secret.get_secret_value() if secret else "").partition(":")
    query: dict[str, Any] = {
        "flows": {"name": {"any_": [TENANT_FLOW]}},
        "work_pools": {"name": {"any_": [settings.work_pool]}},
        "sort": "ID_DESC",
        "limit": 200,
    }
    found: dict[str, Any] = {}
    async with httpx.AsyncClient(auth=(user, password), timeout=30, trust_env=False) as client:
        while True:
            answer = await client.post(
                f"{settings.prefect_api_url}/flow_runs/filter", json=query | {"offset": len(found)}
            )
            answer.raise_for_status()
            page = answer.json()
            found |= {one["id"]: one for one in page}
            if len(page) < query["limit"]:
                return found


async def _catalog(warehouses: Sequence[Warehouse]) -> list[str]:
    """Tables that runs wrote, and that the catalog tells otherwise."""
    by_name = {warehouse.database: warehouse for warehouse in warehouses}
    async with get_session(SYSTEM) as session:
        rows = (
            await session.execute(
                select(CatalogEntry, Connection.name)
                .join(Connection, Connection.id == CatalogEntry.connection_id)
                .where(CatalogEntry.deleted_at.is_(None), Connection.name.in_(by_name))
            )
        ).all()
    found = []
    for entry, database in rows:
        actual = [
            {"name": name, "data_type": data_type, "nullable": nullable == "YES"}
            for name, data_type, nullable in by_name[database].query(
                "SELECT column_name, data_type, is_nullable FROM information_schema.columns "
                "WHERE table_schema = %s AND table_name = %s ORDER BY ordinal_position",
                (entry.schema_name, entry.name),
            )
        ]
        told = [{key: column[key] for key in ("name", "data_type", "nullable")}
                for column in entry.columns]  # fmt: skip
        if told != actual:
            where = f"{database}: {entry.schema_name}.{entry.name}"
            found.append(f"{where}: the catalog has {told}, the destination {actual}")
    return found


def left_behind(place: Place) -> list[str]:
    """Processes, folders, rows in staging and locks that nobody uses any more."""
    found = []
    if place.worker is not None:
        for process in place.worker.children(recursive=True):
            try:
                command = process.cmdline()
                orphan = "datanika.execution.forkserver" not in command or (
                    process.ppid() != place.worker.pid
                )
            except psutil.NoSuchProcess:
                continue
            if orphan and process.status() != psutil.STATUS_ZOMBIE:
                found.append(f"process {process.pid} is left: {command}")
    work = place.home / "work"
    sweep(work, 0)
    if work.is_dir():
        named = ("step-", "warm-", "ad-hoc-")
        found += [
            f"folder {path} is left" for path in work.iterdir() if path.name.startswith(named)
        ]
    for warehouse in place.warehouses:
        found += _of_warehouse(warehouse)
    return found


def _of_warehouse(warehouse: Warehouse) -> Iterator[str]:
    staged = warehouse.query(
        "SELECT table_schema, table_name FROM information_schema.tables "
        "WHERE starts_with(table_schema, %s)",
        (_STAGING,),
    )
    for schema, table in staged:
        if not table.startswith("_dlt") and warehouse.query(
            f'SELECT 1 FROM "{schema}"."{table}" LIMIT 1'
        ):
            yield f"{warehouse.database}: rows are left in {schema}.{table}"
        if not warehouse.query(
            "SELECT 1 FROM information_schema.tables WHERE table_schema = %s AND table_name = %s",
            (schema.removeprefix(_STAGING), table),
        ):
            yield f"{warehouse.database}: staging table {schema}.{table} has no table"
    locks = warehouse.query(
        "SELECT l.pid, a.application_name FROM pg_locks l "
        "JOIN pg_database d ON d.oid = l.database AND d.datname = current_database() "
        "LEFT JOIN pg_stat_activity a ON a.pid = l.pid WHERE l.locktype = 'advisory'"
    )
    yield from (f"{warehouse.database}: advisory lock of {one}" for one in locks)


def _leaked(place: Place) -> list[str]:
    """Canaries in the databases of the platform and in its files."""
    if not place.canaries:
        return []
    marks = {form: canary for canary in place.canaries for form in forms(canary)}
    return sorted(
        {
            f"a canary is in {where}"
            for where, content in _everything_kept(place)
            for form in marks
            if form in content
        }
    )


def forms(secret: str) -> tuple[bytes, ...]:
    """The ways a secret can be written down."""
    encoded = base64.b64encode(secret.encode()).rstrip(b"=")
    return secret.encode(), quote(secret, safe="").encode(), encoded


def _everything_kept(place: Place) -> Iterator[tuple[str, bytes]]:
    own = make_url(settings.require("database_url")).database
    with closing(psycopg2.connect(place.admin_url)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT datname FROM pg_database WHERE datname IN (%s, 'prefect')", (own,))
        names = [name for (name,) in cursor.fetchall()]
    for name in names:
        url = make_url(place.admin_url).set(database=name).render_as_string(hide_password=False)
        dump = subprocess.run(
            [str(bin_dir() / "pg_dump"), "--data-only", url], capture_output=True, check=True
        )
        yield f"database {name}", dump.stdout
    for path in place.home.rglob("*"):
        # The cluster's own files hold the tenants' warehouses, and no password but hashed.
        if "postgres" not in path.relative_to(place.home).parts[:1] and path.is_file():
            yield str(path), path.read_bytes()
