"""The dbt profile of a destination, without a credential in any file.

``profiles.yml`` refers to ``DBT_ENV_SECRET_…`` variables: dbt reads those in profiles only, refuses
them in models, and masks their values in its own logs and artifacts. dbt has no field for libpq's
``hostaddr``, so the address to connect to is libpq's own variable for it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import yaml

from datanika.contracts.steps import ResolvedConnection, ResolvedTransform
from datanika.egress.guard import EgressGuard
from datanika.engines.connectors.duckdb import database_path
from datanika.engines.connectors.hosts import driver, judged_names
from datanika.engines.connectors.postgres import POSTGRES, PostgresTarget, locate
from datanika.engines.connectors.registry import connector_of
from datanika.engines.dbt_engine.adapters import ADAPTERS
from datanika.engines.warehouse import WriterId
from datanika.engines.warehouse.postgres import CONNECT_SECONDS
from datanika.errors import TerminalStepError

TARGET = "datanika"
_PASSWORD = "DBT_ENV_SECRET_PASSWORD"


@contextmanager
def written_profile(
    step: ResolvedTransform, folder: Path, *, offline: bool = False, session_options: str = ""
) -> Iterator[None]:
    """``profiles.yml`` in ``folder``; inside, this process' environment has what it refers to.

    ``session_options``: for libpq, of dbt's sessions. ``offline``: for what must not connect; it
    gets no password and an address that leads nowhere.
    Raises :class:`TerminalStepError` for a kind that dbt cannot build in, and
    :class:`EgressRefused`.
    """
    output, variables = _output(step, folder, offline)
    if session_options:
        # dbt has no field for it either.
        variables["PGOPTIONS"] = session_options
    output |= {"schema": step.step.default_schema, "threads": step.step.threads}
    profile = {step.project_name: {"target": TARGET, "outputs": {TARGET: output}}}
    (folder / "profiles.yml").write_text(yaml.safe_dump(profile), encoding="utf-8")
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    judged = step.destination.kind in ADAPTERS
    try:
        # Drivers in Python ask for names when they connect, long after this.
        with judged_names(step.destination.egress) if judged else nullcontext():
            yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _output(
    step: ResolvedTransform, folder: Path, offline: bool
) -> tuple[dict[str, Any], dict[str, str]]:
    """(dbt's output, environment variables)"""
    connection = step.destination
    if connection.kind == "postgres":
        target = _nowhere(connection) if offline else locate(connection)
        config = target.config
        output = {
            "type": "postgres",
            "host": config.host,
            "port": config.port,
            "dbname": config.database,
            "user": config.user,
            "password": f"{{{{ env_var('{_PASSWORD}') }}}}",
            "sslmode": config.sslmode,
            "connect_timeout": CONNECT_SECONDS,
            "retries": 1,
            # From the environment: what is in the profile counts for the parse, and this changes.
            "application_name": "",
        }
        return output, {
            _PASSWORD: "" if offline else config.password,
            "PGHOSTADDR": target.address,
            "PGPASSFILE": os.devnull,
            "PGAPPNAME": WriterId(step.run_id, step.attempt).application_name,
        }
    if connection.kind == "duckdb":
        output = {
            "type": "duckdb",
            "path": str(database_path(connection)),
            # A model's SQL may not read or write other files, nor attach other databases.
            "config_options": {
                "enable_external_access": False,
                # In the folder that the child lives in. Its name changes with each run and would
                # count for the parse.
                "temp_directory": "duckdb",
                "autoinstall_known_extensions": False,
            },
        }
        return output, {}
    if connection.kind in ADAPTERS:
        return _of_adapter(connection, offline)
    raise TerminalStepError(
        f"dbt cannot build in connection {connection.name!r} of kind {connection.kind!r}.",
        code="connection_kind_unfit",
    )


def _of_adapter(
    connection: ResolvedConnection, offline: bool
) -> tuple[dict[str, Any], dict[str, str]]:
    adapter = ADAPTERS[connection.kind]
    driver(adapter.module, adapter.extra)
    config = connector_of(connection).parse(connection).model_dump()
    if offline:
        # A reserved name (RFC 2606) that no server has.
        config |= {"host": "nowhere.invalid"} if "host" in config else {}
    elif not adapter.resolves:
        guard = EgressGuard(connection.egress)
        config["host"] = guard.check(config["host"], int(config["port"]))[0]
    profile = adapter.profile(config)
    if offline:
        return profile.output, dict.fromkeys(profile.variables, "")
    return profile.output, profile.variables


def _nowhere(connection: ResolvedConnection) -> PostgresTarget:
    # The broadcast address: the system refuses to connect to it at once, without a packet.
    return PostgresTarget(POSTGRES.parse(connection), "255.255.255.255")
