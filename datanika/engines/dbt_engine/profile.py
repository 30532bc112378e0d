"""The dbt profile of a destination, without a credential in any file.

``profiles.yml`` refers to ``DBT_ENV_SECRET_…`` variables: dbt reads those in profiles only, refuses
them in models, and masks their values in its own logs and artifacts.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import yaml

from datanika.contracts.steps import ResolvedTransform
from datanika.engines.connectors.duckdb import database_path
from datanika.engines.connectors.postgres import POSTGRES
from datanika.engines.warehouse import WriterId
from datanika.engines.warehouse.postgres import CONNECT_SECONDS
from datanika.errors import TerminalStepError

TARGET = "datanika"
_PASSWORD = "DBT_ENV_SECRET_PASSWORD"


def write_profile(step: ResolvedTransform, folder: Path) -> None:
    """Write ``profiles.yml`` into ``folder`` and put the password into this process' environment.

    Raises :class:`TerminalStepError` for a kind that dbt cannot build in.
    """
    output = _output(step, folder) | {
        "schema": step.step.default_schema,
        "threads": step.step.threads,
    }
    profile = {step.project_name: {"target": TARGET, "outputs": {TARGET: output}}}
    (folder / "profiles.yml").write_text(yaml.safe_dump(profile), encoding="utf-8")


def _output(step: ResolvedTransform, folder: Path) -> dict[str, Any]:
    connection = step.destination
    if connection.kind == "postgres":
        config = POSTGRES.parse(connection)
        os.environ[_PASSWORD] = config.password
        return {
            "type": "postgres",
            "host": config.host,
            "port": config.port,
            "dbname": config.database,
            "user": config.user,
            "password": f"{{{{ env_var('{_PASSWORD}') }}}}",
            "sslmode": config.sslmode,
            "connect_timeout": CONNECT_SECONDS,
            "retries": 1,
            "application_name": WriterId(step.run_id, step.attempt).application_name,
        }
    if connection.kind == "duckdb":
        return {
            "type": "duckdb",
            "path": str(database_path(connection)),
            # A model's SQL may not read or write other files, nor attach other databases.
            "config_options": {
                "enable_external_access": False,
                "temp_directory": str(folder / "duckdb"),
                "autoinstall_known_extensions": False,
            },
        }
    raise TerminalStepError(
        f"dbt cannot build in connection {connection.name!r} of kind {connection.kind!r}.",
        code="connection_kind_unfit",
    )
