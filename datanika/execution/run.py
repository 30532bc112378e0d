"""One flow run, for work pools that start a process, a container or a pod per run.

    python -m datanika.execution.run          with PREFECT__FLOW_RUN_ID, as Prefect's workers set it

Give it to a pool as its command, with the environment of a Datanika worker (PREFECT_API_URL,
PREFECT_API_AUTH_STRING, DATANIKA_INTERNAL_URL, DATANIKA_WORKER_TOKEN, DATANIKA_HOME). It goes the
same way as in the Datanika worker: this process knows the secrets and runs nothing; a fork server
with a clean environment runs everything.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from typing import Any
from uuid import UUID

from datanika.execution.fork_client import HOST_MODULE, ForkServerClient
from datanika.execution.launcher import LaunchEnd, Launcher, settle
from datanika.execution.sandbox import harden
from datanika.execution.worker_settings import WorkerSettings


async def run_flow_run(
    flow_run_id: UUID, settings: WorkerSettings, host_module: str = HOST_MODULE
) -> int:
    """Run it to its end; 0 unless the process died with its run open."""
    from prefect import settings as prefect_settings
    from prefect.client.orchestration import get_client

    secret = settings.prefect_auth_string
    updates: dict[Any, Any] = {
        prefect_settings.PREFECT_API_URL: settings.prefect_api_url,
        prefect_settings.PREFECT_API_AUTH_STRING: secret.get_secret_value() if secret else None,
    }
    with prefect_settings.temporary_settings(updates):
        async with ForkServerClient(host_module, settings.home) as server, get_client() as prefect:
            launcher = Launcher(settings, server)
            for number in (signal.SIGTERM, signal.SIGINT):
                asyncio.get_running_loop().add_signal_handler(
                    number, lambda: stops.append(asyncio.create_task(launcher.stop_all()))
                )
            stops: list[asyncio.Task[None]] = []
            flow_run = await prefect.read_flow_run(flow_run_id)
            flow = await prefect.read_flow(flow_run.flow_id)
            result = await launcher.run(flow.name, flow_run.model_dump(mode="json"))
            await settle(prefect, flow_run_id, result)
    return int(result.end is LaunchEnd.CRASHED)


def main() -> int:
    """The process; its exit code."""
    given = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("PREFECT__FLOW_RUN_ID", "")
    try:
        flow_run_id = UUID(given)
    except ValueError:
        print("PREFECT__FLOW_RUN_ID does not name a flow run.", file=sys.stderr)  # noqa: T201
        return 2
    harden()
    return asyncio.run(run_flow_run(flow_run_id, WorkerSettings()))


if __name__ == "__main__":
    raise SystemExit(main())
