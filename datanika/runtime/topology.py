"""Which parts one machine runs, where they listen, and what each is told.

Embedded by default; DATABASE_URL, REDIS_URL and PREFECT_API_URL given by the user replace parts.
"""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from pydantic import SecretStr

from datanika.config import Settings
from datanika.runtime import databases
from datanika.runtime.environment import GIVEN_BY_USER, Environments
from datanika.runtime.parts import Part
from datanika.runtime.ports import Ports
from datanika.runtime.postgres import PostgresCluster, system_user
from datanika.runtime.prefect import PrefectServer
from datanika.runtime.redis import RedisServer
from datanika.runtime.secrets import Secrets, keys_file

WORKER_STOP_SECONDS = 30.0
"""Longer than a worker's grace period for running flows."""


@dataclass(frozen=True)
class DemoWarehouse:
    """A PostgreSQL database of the demo's own; its role has no right on the platform's."""

    host: str
    port: int
    database: str
    user: str
    password: str = field(repr=False)


@dataclass(frozen=True)
class Topology:
    """One machine's platform. ``given``: the user's settings, an earlier start's left out."""

    home: Path
    given: Settings
    ports: Ports
    secrets: Secrets = field(repr=False)

    @cached_property
    def postgres(self) -> PostgresCluster | None:
        """Also without the control plane's database it serves Prefect and the demo."""
        if self.given.database_url is not None and self.given.prefect_api_url is not None:
            return None
        return PostgresCluster(
            self.home / "postgres", self.ports.postgres, self.secrets.postgres_password
        )

    @cached_property
    def redis(self) -> RedisServer | None:
        if self.given.redis_url is not None:
            return None
        return RedisServer(self.home / "redis", self.ports.redis, self.secrets.redis_password)

    @cached_property
    def prefect(self) -> PrefectServer | None:
        if self.given.prefect_api_url is not None or self.postgres is None:
            return None
        return PrefectServer(
            home=self.home / "prefect",
            port=self.ports.prefect,
            database_url=self.postgres.url(
                databases.PREFECT, self.secrets.prefect_password, databases.PREFECT_DB
            ),
            auth_string=self.secrets.prefect_auth_string,
            encryption_key=self.secrets.prefect_encryption_key,
            retention_days=self.given.prefect_retention_days,
        )

    @cached_property
    def passwords(self) -> dict[str, str]:
        """Password of every login of the embedded PostgreSQL."""
        return {
            databases.OWNER: self.secrets.owner_password,
            databases.APPLICATION: self.secrets.application_password,
            databases.PREFECT: self.secrets.prefect_password,
            databases.DEMO: self.secrets.demo_password,
        }

    @property
    def demo_warehouse(self) -> DemoWarehouse | None:
        if self.postgres is None:
            return None
        return DemoWarehouse(
            "127.0.0.1", self.ports.postgres, databases.DEMO_DB, databases.DEMO,
            self.secrets.demo_password,
        )  # fmt: skip

    @property
    def web_url(self) -> str:
        """Where this machine reaches the web application."""
        host = "127.0.0.1" if self.given.host in ("0.0.0.0", "::") else self.given.host
        return f"http://{host}:{self.ports.web}"

    @property
    def prefect_ui_url(self) -> str | None:
        return self.values.get("DATANIKA_PREFECT_UI_URL")

    @cached_property
    def values(self) -> dict[str, str]:
        """Everything a command of the platform may need, by environment variable."""
        explicit = self.given.model_fields_set
        values = {
            "DATANIKA_HOME": str(self.home),
            "DATANIKA_ENV": self.given.env,
            "DATANIKA_HOST": self.given.host,
            "DATANIKA_PORT": str(self.ports.web),
            "DATANIKA_PUBLIC_URL": (
                self.given.public_url if "public_url" in explicit else self.web_url
            ),
            "DATANIKA_INTERNAL_URL": (
                self.given.internal_url if "internal_url" in explicit else self.web_url
            ),
            "DATANIKA_WORK_POOL": self.given.work_pool,
            "DATANIKA_SECRET_KEY": _or(self.given.secret_key, self.secrets.secret_key),
            "DATANIKA_WORKER_TOKEN": _or(self.given.worker_token, self.secrets.worker_token),
        }
        services = self._database() | self._redis() | self._prefect()
        return values | self._keys() | services | self._egress()

    def _keys(self) -> dict[str, str]:
        """The keys that encrypt credentials: our own in a file, so that one can be added."""
        if self.given.encryption_keys_file is not None:
            return {"DATANIKA_ENCRYPTION_KEYS_FILE": str(self.given.encryption_keys_file)}
        if self.given.encryption_keys is not None:
            return {"DATANIKA_ENCRYPTION_KEYS": self.given.encryption_keys.get_secret_value()}
        return {"DATANIKA_ENCRYPTION_KEYS_FILE": str(keys_file(self.home))}

    def _database(self) -> dict[str, str]:
        if self.given.database_url is not None:
            url = self.given.database_url.get_secret_value()
            return {
                "DATABASE_URL": url,
                "DATANIKA_DATABASE_ADMIN_URL": _or(self.given.database_admin_url, url),
            }
        assert self.postgres is not None
        return {
            "DATABASE_URL": self.postgres.url(
                databases.APPLICATION, self.secrets.application_password, databases.CONTROL_DB
            ),
            "DATANIKA_DATABASE_ADMIN_URL": self.postgres.url(
                databases.OWNER, self.secrets.owner_password, databases.CONTROL_DB
            ),
        }

    def _redis(self) -> dict[str, str]:
        embedded = self.redis.url if self.redis is not None else ""
        return {"REDIS_URL": _or(self.given.redis_url, embedded)}

    def _prefect(self) -> dict[str, str]:
        if self.prefect is not None:
            return {
                "PREFECT_API_URL": self.prefect.api_url,
                "PREFECT_API_AUTH_STRING": self.prefect.auth_string,
                "DATANIKA_PREFECT_UI_URL": self.given.prefect_ui_url or self.prefect.ui_url,
            }
        values = {"PREFECT_API_URL": self.given.prefect_api_url or ""}
        if self.given.prefect_api_auth_string is not None:
            values["PREFECT_API_AUTH_STRING"] = (
                self.given.prefect_api_auth_string.get_secret_value()
            )
        if self.given.prefect_ui_url is not None:
            values["DATANIKA_PREFECT_UI_URL"] = self.given.prefect_ui_url
        return values

    def _egress(self) -> dict[str, str]:
        """What the user gave, and where the embedded PostgreSQL is: of all its databases tenants
        may connect to the demo's warehouse."""
        allow, own = [self.given.egress_allow], [self.given.egress_own]
        if (demo := self.demo_warehouse) is not None:
            allow.append(f"{demo.host}:{demo.port}/{demo.database}")
            own.append(f"{demo.host}:{demo.port}")
        return {
            "DATANIKA_EGRESS_NETWORKS": self.given.egress_networks or "",
            "DATANIKA_EGRESS_ALLOW": ",".join(filter(None, allow)),
            "DATANIKA_EGRESS_DENY": self.given.egress_deny,
            "DATANIKA_EGRESS_OWN": ",".join(filter(None, own)),
            "DATANIKA_EGRESS_PRIVILEGED_ROLES": str(self.given.egress_privileged_roles).lower(),
        }

    @cached_property
    def environments(self) -> Environments:
        return Environments(self.home, self.values, self._given_by_user())

    def _given_by_user(self) -> dict[str, str]:
        found = {}
        for variable in GIVEN_BY_USER:
            name = variable.removeprefix("DATANIKA_").lower()
            value = getattr(self.given, name)
            if name in self.given.model_fields_set and value is not None:
                secret = isinstance(value, SecretStr)
                found[variable] = value.get_secret_value() if secret else str(value)
        return found

    def parts(self) -> list[Part]:
        """Every supervised process, those of the user's own servers left out."""
        # The control plane reads the caller's .env, as every other command of ours does here.
        here, env = os.getcwd(), self.environments
        parts = []
        if self.postgres is not None:
            parts.append(
                Part(
                    "postgres", tuple(self.postgres.command()), env.bare(), "/", 50,
                    user=system_user(), stop_signal=int(signal.SIGINT), stop_seconds=30,
                )
            )  # fmt: skip
        if self.redis is not None:
            folder = str(self.redis.folder)
            parts.append(Part("redis", tuple(self.redis.command()), env.bare(), folder, 40))
        if self.prefect is not None:
            own = env.prefect_server(self.prefect.environment())
            command = tuple(self.prefect.command())
            parts.append(Part("prefect", command, own, str(self.home), 30, stop_seconds=15))
        parts += [
            Part("web", self._web_command(), env.control_plane(), here, 20, stop_seconds=15),
            Part("celery", CELERY_COMMAND, env.control_plane(), here, 10, stop_seconds=15),
            Part(
                "worker", WORKER_COMMAND, env.worker(), str(self.home), 10,
                stop_seconds=WORKER_STOP_SECONDS,
            ),
        ]  # fmt: skip
        return parts

    def _web_command(self) -> tuple[str, ...]:
        return (
            sys.executable, "-m", "uvicorn", "--factory", "datanika.ui.serve:create_asgi",
            "--host", self.given.host, "--port", str(self.ports.web),
            "--no-access-log", "--timeout-graceful-shutdown", "5",
            # Compressing a websocket takes 50 kB of memory for each open page.
            "--ws-per-message-deflate", "false",
        )  # fmt: skip


CELERY_COMMAND = (
    sys.executable, "-m", "celery", "-A", "datanika.tasks", "worker", "-l", "info",
    "--concurrency", "2", "--without-gossip", "--without-mingle",
)  # fmt: skip
WORKER_COMMAND = (sys.executable, "-m", "datanika.execution.worker")


def _or(given: SecretStr | None, otherwise: str) -> str:
    return otherwise if given is None else given.get_secret_value()
