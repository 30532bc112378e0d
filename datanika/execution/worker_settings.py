"""Settings of the data plane: from the environment only.

Not ``datanika.config``: that one also reads ``.env`` and ``runtime.env``, where the platform's
keys are, and nothing in the data plane may hold those even in memory.
"""

from __future__ import annotations

from pathlib import Path

from platformdirs import user_data_path
from pydantic import AliasChoices, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

SECRETS = Path("/run/secrets")
"""Where Docker and Kubernetes mount secrets: a file for each, named like its variable."""


class WorkerSettings(BaseSettings):
    """What a worker knows: where Prefect and the control plane are, and its own token."""

    model_config = SettingsConfigDict(
        env_prefix="DATANIKA_",
        extra="ignore",
        env_ignore_empty=True,
        secrets_dir=SECRETS if SECRETS.is_dir() else None,
    )

    internal_url: str = Field(default="http://127.0.0.1:8000")
    worker_token: SecretStr = SecretStr("")
    prefect_api_url: str = Field(
        default="", validation_alias=AliasChoices("PREFECT_API_URL", "prefect_api_url")
    )
    prefect_auth_string: SecretStr | None = Field(
        default=None,
        validation_alias=AliasChoices("PREFECT_API_AUTH_STRING", "prefect_auth_string"),
    )
    home: Path | None = Field(default=None, description="DATANIKA_HOME of the fork server.")
    work_pool: str = "datanika"
    worker_limit: int = Field(default=8, ge=1, description="Runs at the same time.")
    worker_poll_seconds: float = Field(
        default=1.0, gt=0, description="A nudge makes a run on the same machine start sooner."
    )
    worker_grace_seconds: float = Field(
        default=20.0, ge=0, description="How long running flows may finish after SIGTERM."
    )

    worker_recycle_forks: int = Field(
        default=500, ge=1, description="Forks after which the fork server is replaced by a new one."
    )
    worker_status_port: int | None = Field(
        default=None,
        ge=0,
        le=65535,
        description="Port of the worker's /healthz and /metrics. Not set: none; 0: a free one.",
    )
    worker_status_host: str = Field(
        default="127.0.0.1", description="Address of the worker's /healthz and /metrics."
    )

    step_memory_mb: int = Field(
        default=6144, ge=256, description="Memory of a step's engine. More ends the step."
    )
    step_cpu_seconds: int = Field(
        default=14_400,
        ge=10,
        description="Processor time of a step's engine. More ends the step.",
    )

    def data_home(self) -> Path:
        """The data folder, as ``datanika.config`` finds it."""
        return self.home or user_data_path("datanika")
