"""Settings, from the environment, ``.env`` and the running embedded runtime.

``datanika up`` writes what it chose (addresses, ports, secrets) to ``runtime.env`` in the data
folder, readable by its owner only, so that every other command on the machine finds it.

    from datanika.config import settings
"""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path
from typing import Literal

from platformdirs import user_data_path
from pydantic import AliasChoices, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from datanika.errors import ConfigError


def data_home() -> Path:
    """The data folder: ``DATANIKA_HOME``, or ``datanika`` in the user's data directory."""
    given = os.environ.get("DATANIKA_HOME")
    return Path(given).expanduser().resolve() if given else user_data_path("datanika")


class Settings(BaseSettings):
    """Every setting of the platform. Names in the environment: see ``.env.example``."""

    model_config = SettingsConfigDict(
        env_prefix="DATANIKA_", extra="ignore", populate_by_name=True, env_ignore_empty=True
    )

    env: Literal["development", "production"] = Field(
        default="development", description="Production refuses missing and weak secrets."
    )
    home: Path = Field(default_factory=data_home, description="The data folder.")

    database_url: SecretStr | None = Field(
        default=None,
        validation_alias=AliasChoices("DATABASE_URL", "database_url"),
        description="PostgreSQL of the control plane, as the application's non-owner role.",
    )
    database_admin_url: SecretStr | None = Field(
        default=None, description="The same database as its owner: migrations only."
    )
    redis_url: SecretStr | None = Field(
        default=None,
        validation_alias=AliasChoices("REDIS_URL", "redis_url"),
        description="Broker of the ad hoc jobs.",
    )
    prefect_api_url: str | None = Field(
        default=None,
        validation_alias=AliasChoices("PREFECT_API_URL", "prefect_api_url"),
        description="Prefect's API, ending in /api.",
    )
    prefect_api_auth_string: SecretStr | None = Field(
        default=None,
        validation_alias=AliasChoices("PREFECT_API_AUTH_STRING", "prefect_api_auth_string"),
        description="user:password of Prefect's API.",
    )
    prefect_ui_url: str | None = Field(
        default=None, description="Where operators open Prefect's own UI."
    )
    work_pool: str = Field(default="datanika", description="Prefect's work pool of the workers.")
    prefect_retention_days: int = Field(
        default=30,
        ge=1,
        description="How long the Prefect server that we start keeps flow runs that have ended.",
    )

    host: str = Field(default="127.0.0.1", description="Address that UI and API listen on.")
    port: int = Field(default=8000, description="Port of UI and API.")
    public_url: str = Field(
        default="http://127.0.0.1:8000", description="Where people reach UI and API."
    )
    internal_url: str = Field(
        default="http://127.0.0.1:8000", description="Where workers reach the internal API."
    )

    secret_key: SecretStr | None = Field(default=None, description="Signs access and run tokens.")
    encryption_keys: SecretStr | None = Field(
        default=None, description="kid:fernetkey,… newest first; the first one encrypts."
    )
    encryption_keys_file: Path | None = Field(
        default=None,
        description="A file with the keys in the place of DATANIKA_ENCRYPTION_KEYS. Read at each "
        "use: a new key in it needs no restart.",
    )
    worker_token: SecretStr | None = Field(
        default=None, description="What a worker shows to claim a run."
    )

    api_requests_per_minute: int = Field(
        default=1200, ge=1, description="Requests a minute of one person or API key."
    )
    anonymous_requests_per_minute: int = Field(
        default=120, ge=1, description="Requests a minute of one address that is not logged in."
    )
    max_body_bytes: int = Field(
        default=10_000_000, ge=1, description="The longest body of a request to the API."
    )
    telegram_api_url: str = Field(
        default="https://api.telegram.org", description="Telegram's Bot API, or your own server."
    )
    metrics_token: SecretStr | None = Field(
        default=None,
        description="What `/metrics` asks for as a bearer token. Not set: this machine only.",
    )
    egress_networks: Literal["public", "private", "local"] | None = Field(
        default=None,
        description="What tenants' connections reach: public addresses only, private networks "
        "too, or this machine's loopback too. Not set: local in development, private in "
        "production.",
    )
    egress_allow: str = Field(
        default="",
        description="Destinations to allow beyond that: host[:port[/database]],… where host is a "
        "name, *.name, an address or a network.",
    )
    egress_deny: str = Field(
        default="", description="Destinations to refuse, written the same way; wins over allow."
    )
    egress_own: str = Field(
        default="",
        description="Services of the platform that no other setting names, as host:port,… "
        "(Prefect's database): never open to tenants.",
    )
    egress_privileged_roles: bool = Field(
        default=False,
        description="Let tenants use PostgreSQL roles that can run programs on their server.",
    )

    access_token_minutes: int = Field(default=15, description="How long an access token lives.")
    refresh_token_days: int = Field(default=30, description="How long a login lives unused.")
    max_attempts: int = Field(default=3, description="Attempts of a run whose process died.")

    failures_until_warning: int = Field(
        default=5, ge=1, description="Failed runs in a row after which a pipeline's people hear it."
    )
    failures_until_pause: int = Field(
        default=10, ge=1, description="Failed runs in a row after which a pipeline is paused."
    )

    max_organizations_per_user: int = Field(
        default=20, ge=1, description="Organisations that one person may own."
    )
    default_max_concurrent_runs: int | None = Field(
        default=10, ge=1, description="Runs of one organisation at once, unless it has its own."
    )
    default_max_connections: int | None = Field(
        default=500, ge=0, description="Connections of one organisation, unless it has its own."
    )
    default_max_rows_per_month: int | None = Field(
        default=None, ge=0, description="Rows an organisation may load in a month (UTC)."
    )
    default_max_storage_bytes: int | None = Field(
        default=None, ge=0, description="Bytes of an organisation's files and local warehouses."
    )
    max_upload_bytes: int = Field(
        default=1_000_000_000, ge=1, description="Bytes of an uploaded file."
    )
    max_unpacked_bytes: int = Field(
        default=20_000_000_000, ge=1, description="Bytes that may come out of a packed one."
    )
    purge_after_days: int = Field(
        default=30, ge=0, description="Days until a deleted organisation is gone for good."
    )
    secrets_dir: Path | None = Field(
        default=None, description="Folder of the secrets that operators refer to as file:NAME."
    )

    registration: Literal["open", "closed"] = Field(
        default="open",
        description="Whether anybody may make an account. Closed: only who is invited.",
    )
    require_verified_email: bool | None = Field(
        default=None,
        description="Whether a login needs a confirmed address. Not set: in production with SMTP.",
    )
    smtp_host: str | None = Field(
        default=None, description="Mail server. Not set: mails land in the folder mail."
    )
    smtp_port: int = Field(default=587, ge=1, le=65535, description="Port of the mail server.")
    smtp_security: Literal["starttls", "ssl", "none"] = Field(
        default="starttls", description="How the way to the mail server is encrypted."
    )
    smtp_user: str | None = Field(default=None, description="User at the mail server.")
    smtp_password: SecretStr | None = Field(
        default=None, description="Password at the mail server."
    )
    mail_from: str = Field(
        default="Datanika <datanika@localhost>", description="Sender of the platform's mails."
    )

    google_client_id: str | None = Field(default=None, description="Login with Google.")
    google_client_secret: SecretStr | None = Field(default=None, description="Login with Google.")
    github_client_id: str | None = Field(default=None, description="Login with GitHub.")
    github_client_secret: SecretStr | None = Field(default=None, description="Login with GitHub.")
    github_url: str = Field(
        default="https://github.com", description="GitHub, or a GitHub Enterprise server."
    )
    oidc_issuer: str | None = Field(
        default=None, description="Issuer of an OpenID provider to log in with."
    )
    oidc_client_id: str | None = Field(default=None, description="Client at that provider.")
    oidc_client_secret: SecretStr | None = Field(
        default=None, description="Client at that provider."
    )
    oidc_label: str = Field(default="OpenID", description="What people call that provider.")
    trusted_login_providers: str = Field(
        default="",
        description="Of google, github, oidc: whose logins open an account that has a password.",
    )

    def require(self, name: str) -> str:
        """The setting ``name`` in the clear; raises :class:`ConfigError` when it is missing."""
        value = getattr(self, name)
        if value is None:
            variable = name.upper() if name in _UNPREFIXED else f"DATANIKA_{name.upper()}"
            raise ConfigError(
                f"{variable} is not set.",
                code="setting_missing",
                hint=f"Start `datanika up` (it sets everything), or set {variable} in .env.",
            )
        return value.get_secret_value() if isinstance(value, SecretStr) else str(value)

    def check_production(self) -> None:
        """Refuse to serve in production with missing or weak secrets."""
        if self.env != "production":
            return
        for name in ("database_url", "secret_key", "encryption_keys", "worker_token"):
            if name == "encryption_keys" and self.encryption_keys_file is not None:
                continue
            value = self.require(name)
            if name in ("secret_key", "worker_token") and (
                len(value) < 32 or value.lower().startswith(("change", "secret", "default"))
            ):
                raise ConfigError(
                    f"DATANIKA_{name.upper()} is too short or a default value.",
                    code="setting_weak",
                    hint="Generate one with Python's secrets.token_urlsafe(48).",
                )

    @property
    def needs_verified_email(self) -> bool:
        """Whether a password opens an account only after its address was confirmed."""
        if self.require_verified_email is not None:
            return self.require_verified_email
        return self.env == "production" and self.smtp_host is not None

    @property
    def mail_folder(self) -> Path:
        """Where mails land without a mail server."""
        return self.home / "mail"

    @cached_property
    def admin_url(self) -> str:
        """URL for migrations: the owner's where given, else the application's."""
        return self.require("database_admin_url" if self.database_admin_url else "database_url")

    def org_root(self, org_id: int) -> Path:
        """The folder an organisation's local files and DuckDB warehouses live in."""
        return self.home / "orgs" / str(org_id)


_UNPREFIXED = frozenset({"database_url", "redis_url", "prefect_api_url", "prefect_api_auth_string"})


def load_settings() -> Settings:
    """Read the settings now: environment over ``.env`` over the runtime's ``runtime.env``."""
    return Settings(_env_file=(data_home() / "runtime.env", Path(".env")))


settings = load_settings()
