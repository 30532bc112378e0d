"""The Prefect server: scheduler, run states and its own UI, in its own database."""

from __future__ import annotations

import sys
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

SCHEDULER_SECONDS = 3
"""How soon a new or changed schedule has its first runs."""
SWEEP_SECONDS = 60
"""How often Prefect looks at every schedule, each of which has the runs of the next hour."""
DUE_RUNS = 1000
"""How many due runs a worker sees at once, and can be fair over. Prefect's default is 200."""
RETENTION_DAYS = 30


@dataclass(frozen=True)
class PrefectServer:
    """A server on 127.0.0.1:``port`` whose API needs ``auth_string`` (``user:password``)."""

    home: Path
    port: int
    database_url: str = field(repr=False)
    auth_string: str = field(repr=False)
    encryption_key: str = field(repr=False)
    scheduler_seconds: float = SCHEDULER_SECONDS
    sweep_seconds: float = SWEEP_SECONDS
    retention_days: int = RETENTION_DAYS
    """How long Prefect keeps what has ended; what the platform knows of its runs stays."""

    @property
    def api_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/api"

    @property
    def ui_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def command(self) -> list[str]:
        """The server in the foreground, in one process; it migrates its database by itself."""
        return [
            sys.executable, "-m", "prefect", "server", "start",
            "--host", "127.0.0.1", "--port", str(self.port),
        ]  # fmt: skip

    def environment(self) -> dict[str, str]:
        """Its settings. Only this process knows the database and the encryption key."""
        return {
            "PREFECT_HOME": str(self.home),
            "PREFECT_API_DATABASE_CONNECTION_URL": self.database_url.replace(
                "postgresql://", "postgresql+asyncpg://", 1
            ),
            "PREFECT_SERVER_API_AUTH_STRING": self.auth_string,
            "PREFECT_SERVER_ENCRYPTION_KEY": self.encryption_key,
            # Its browser UI calls the API under the name that the browser knows the server by.
            "PREFECT_UI_API_URL": "/api",
            "PREFECT_SERVER_UI_SERVE_BASE": "/",
            "PREFECT_SERVER_UI_STATIC_DIRECTORY": str(self.home / "ui"),
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "DO_NOT_TRACK": "1",
            "PREFECT_SERVER_LOGGING_LEVEL": "WARNING",
            "PREFECT_SERVER_API_DEFAULT_LIMIT": str(DUE_RUNS),
            "PREFECT_SERVER_SERVICES_SCHEDULER_RECENT_DEPLOYMENTS_LOOP_SECONDS": str(
                self.scheduler_seconds
            ),
            "PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS": str(self.sweep_seconds),
            "PREFECT_SERVER_SERVICES_SCHEDULER_DEPLOYMENT_BATCH_SIZE": "100",
            # Hourly, in small transactions: flow runs that have ended, with their task runs and
            # logs. Events stay for a week, which is Prefect's default.
            "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events,flow_runs",
            "PREFECT_SERVER_SERVICES_DB_VACUUM_RETENTION_PERIOD": f"P{self.retention_days}D",
        }

    def is_ready(self) -> bool:
        """Whether the server answers and reaches its database."""
        try:
            with urllib.request.urlopen(f"{self.api_url}/ready", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False
