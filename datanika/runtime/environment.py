"""What each process is told. A process gets what it needs and nothing of the caller's own."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

MARK = "DATANIKA_RUNTIME"
"""Set in every process of a platform to its data folder: how a later start knows leftovers."""

# Locale, time zone, proxies and certificates: how this machine reaches the world.
_INHERITED = (
    "PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "USER", "LOGNAME", "PYTHONDONTWRITEBYTECODE",
    "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY",
    "http_proxy", "https_proxy", "all_proxy", "no_proxy",
    "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS",
)  # fmt: skip
# The front end's build downloads packages the way npm is set up here.
_NPM_PREFIX = "npm_config_"

CONTROL_PLANE = (
    "DATABASE_URL", "REDIS_URL", "PREFECT_API_URL", "PREFECT_API_AUTH_STRING",
    "DATANIKA_PREFECT_UI_URL", "DATANIKA_ENV", "DATANIKA_HOST", "DATANIKA_PORT",
    "DATANIKA_PUBLIC_URL", "DATANIKA_INTERNAL_URL", "DATANIKA_SECRET_KEY",
    "DATANIKA_ENCRYPTION_KEYS", "DATANIKA_ENCRYPTION_KEYS_FILE", "DATANIKA_WORKER_TOKEN",
    "DATANIKA_WORK_POOL",
    "DATANIKA_EGRESS_NETWORKS", "DATANIKA_EGRESS_ALLOW", "DATANIKA_EGRESS_DENY",
    "DATANIKA_EGRESS_OWN", "DATANIKA_EGRESS_PRIVILEGED_ROLES",
)  # fmt: skip
GIVEN_BY_USER = (
    "DATANIKA_SMTP_HOST", "DATANIKA_SMTP_PORT", "DATANIKA_SMTP_SECURITY", "DATANIKA_SMTP_USER",
    "DATANIKA_SMTP_PASSWORD", "DATANIKA_MAIL_FROM", "DATANIKA_REGISTRATION",
    "DATANIKA_REQUIRE_VERIFIED_EMAIL",
    "DATANIKA_GOOGLE_CLIENT_ID", "DATANIKA_GOOGLE_CLIENT_SECRET", "DATANIKA_GITHUB_CLIENT_ID",
    "DATANIKA_GITHUB_CLIENT_SECRET", "DATANIKA_GITHUB_URL", "DATANIKA_OIDC_ISSUER",
    "DATANIKA_OIDC_CLIENT_ID", "DATANIKA_OIDC_CLIENT_SECRET", "DATANIKA_OIDC_LABEL",
    "DATANIKA_TRUSTED_LOGIN_PROVIDERS",
    "DATANIKA_FAILURES_UNTIL_WARNING", "DATANIKA_FAILURES_UNTIL_PAUSE",
    "DATANIKA_MAX_ORGANIZATIONS_PER_USER", "DATANIKA_DEFAULT_MAX_CONCURRENT_RUNS",
    "DATANIKA_DEFAULT_MAX_CONNECTIONS", "DATANIKA_DEFAULT_MAX_ROWS_PER_MONTH",
    "DATANIKA_DEFAULT_MAX_STORAGE_BYTES", "DATANIKA_PURGE_AFTER_DAYS", "DATANIKA_SECRETS_DIR",
    "DATANIKA_MAX_UPLOAD_BYTES", "DATANIKA_MAX_UNPACKED_BYTES",
)  # fmt: skip
"""What the control plane gets where the user gave it, and has a default for otherwise."""
WORKER = (
    "PREFECT_API_URL", "PREFECT_API_AUTH_STRING", "DATANIKA_INTERNAL_URL", "DATANIKA_WORKER_TOKEN",
    "DATANIKA_WORK_POOL",
)  # fmt: skip
WORKER_TUNING = (
    "DATANIKA_WORKER_LIMIT", "DATANIKA_WORKER_POLL_SECONDS", "DATANIKA_WORKER_GRACE_SECONDS",
    "DATANIKA_WORKER_RECYCLE_FORKS", "DATANIKA_WORKER_STATUS_PORT", "DATANIKA_WORKER_STATUS_HOST",
    "DATANIKA_STEP_MEMORY_MB", "DATANIKA_STEP_CPU_SECONDS",
)  # fmt: skip
PREFECT_CLIENT = ("PREFECT_API_URL", "PREFECT_API_AUTH_STRING", "DATANIKA_WORK_POOL")
MIGRATION = ("DATANIKA_DATABASE_ADMIN_URL", "DATABASE_URL")


def of_this_machine(outer: Mapping[str, str] | None = None) -> dict[str, str]:
    """The caller's variables that every process may know."""
    given = os.environ if outer is None else outer
    return {
        name: value
        for name, value in given.items()
        if name in _INHERITED or name.lower().startswith(_NPM_PREFIX)
    }


def referred_to(outer: Mapping[str, str] | None = None) -> dict[str, str]:
    """The caller's variables that connections may refer to as secrets."""
    given = os.environ if outer is None else outer
    return {name: value for name, value in given.items() if name.startswith("DATANIKA_SECRET_")}


@dataclass(frozen=True)
class Environments:
    """``values``: everything the platform knows, by variable. Only slices of it are given away."""

    home: Path
    values: dict[str, str] = field(repr=False)
    given: dict[str, str] = field(default_factory=dict, repr=False)
    """Of :data:`GIVEN_BY_USER`, what there is."""
    outer: dict[str, str] = field(default_factory=of_this_machine, repr=False)

    def bare(self) -> dict[str, str]:
        """For programs that are not ours: PostgreSQL and Redis."""
        kept = ("PATH", "LANG", "LC_ALL", "TZ", "TMPDIR")
        return {name: self.outer[name] for name in kept if name in self.outer} | self._marks()

    def control_plane(self) -> dict[str, str]:
        own = self._python() | referred_to() | self._only(CONTROL_PLANE) | self.given
        # Else it would find the owner's in runtime.env, and row-level security would not bind it.
        return own | {"DATANIKA_DATABASE_ADMIN_URL": own["DATABASE_URL"]}

    def worker(self) -> dict[str, str]:
        """Never the database, the master keys or Redis: the worker runs tenants' work."""
        tuning = {name: os.environ[name] for name in WORKER_TUNING if name in os.environ}
        return self._python() | self._only(WORKER) | tuning

    def prefect_client(self) -> dict[str, str]:
        return self._python() | self._only(PREFECT_CLIENT)

    def prefect_server(self, own: Mapping[str, str]) -> dict[str, str]:
        return self._python() | dict(own)

    def migration(self) -> dict[str, str]:
        return self._python() | self._only(MIGRATION)

    def build(self) -> dict[str, str]:
        """For the front end's build: it runs other people's packages and gets no secret."""
        return self._python()

    def _only(self, names: tuple[str, ...]) -> dict[str, str]:
        return {name: self.values[name] for name in names if name in self.values}

    def _python(self) -> dict[str, str]:
        return {
            **self.outer,
            **self._marks(),
            "DATANIKA_HOME": str(self.home),
            "PREFECT_HOME": str(self.home / "prefect"),
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "DO_NOT_TRACK": "1",
            "PYTHONUNBUFFERED": "1",
        }

    def _marks(self) -> dict[str, str]:
        return {MARK: str(self.home)}
