"""The project of the dbt benchmark: layers of views and tables with a test each, and its oracle."""

from __future__ import annotations

import shutil
from pathlib import Path

import yaml

from datanika.compiler.dbt_project import build_project
from datanika.contracts.egress import EgressPolicy, Networks
from datanika.contracts.enums import DbtCommand
from datanika.contracts.spec import ColumnSpec, TransformationSpec, TransformStep
from datanika.contracts.steps import ResolvedConnection, ResolvedTransform
from datanika.runtime import databases
from tests.support.postgres import PostgresServer

SCHEMA = "analytics"
ROWS = 1000
THREADS = 4
CHAIN = 9
"""So many models read each other, one the one before it."""
NAME = "org1"
_PASSWORD = "pw-of-the-benchmark"


class Warehouse:
    """A database with the relations of the last build."""

    def __init__(self, server: PostgresServer) -> None:
        self._server = server
        self.url = server.create_database("transform", "transform", _PASSWORD)
        self.connection = ResolvedConnection(
            id=2,
            name="warehouse",
            kind="postgres",
            config={
                "host": server.host,
                "port": server.port,
                "database": "transform",
                "user": "transform",
                "password": _PASSWORD,
                "sslmode": "disable",
            },
            secret_fields=("password",),
            egress=EgressPolicy(networks=Networks.LOCAL),
        )

    def empty(self) -> None:
        with databases.cursor(self.url) as cursor:
            cursor.execute(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE")

    def check(self, models: int) -> None:
        """Every model's relation exists and holds what it should, no more and no less.

        Raises RuntimeError. ``amount`` of the model at place n of its chain is 2 * id + n.
        """
        with databases.cursor(self.url) as cursor:
            for number in range(models):
                cursor.execute(
                    f"SELECT count(*), sum(id), sum(amount), count(DISTINCT id) "
                    f"FROM {SCHEMA}.m{number:04}"
                )
                ids = ROWS * (ROWS + 1) // 2
                wanted = (ROWS, ids, 2 * ids + ROWS * (number % CHAIN), ROWS)
                found = cursor.fetchone()
                if tuple(map(int, found)) != wanted:
                    raise RuntimeError(f"m{number:04} holds {found}, not {wanted}")
            cursor.execute(
                "SELECT count(*) FROM information_schema.tables WHERE table_schema = %s", (SCHEMA,)
            )
            [relations] = cursor.fetchone()
            if relations != models:
                raise RuntimeError(f"{relations} relations instead of {models}")


def project(
    warehouse: Warehouse, models: int, command: DbtCommand = DbtCommand.BUILD, *select: str
) -> ResolvedTransform:
    """A step over ``models`` models with one test each, as the control plane resolves it."""
    step = TransformStep(
        key="transform",
        destination_id=2,
        default_schema=SCHEMA,
        threads=THREADS,
        command=command,
        select=select,
    )
    specs = [_model(number) for number in range(models)]
    return ResolvedTransform(
        run_id=1,
        attempt=1,
        step=step,
        destination=warehouse.connection,
        project_name=NAME,
        files=build_project(NAME, step, "postgres", specs, ()),
        owner="benchmark",
    )


def _model(number: int) -> TransformationSpec:
    if number % CHAIN == 0:
        sql = f"select g as id, 2 * g as amount from generate_series(1, {ROWS}) as numbers(g)"
    else:
        sql = f"select id, amount + 1 as amount from {{{{ ref('m{number - 1:04}') }}}}"
    return TransformationSpec(
        name=f"m{number:04}",
        kind="model",
        destination_id=2,
        sql=sql,
        materialization="view" if number % 2 else "table",
        columns=(ColumnSpec(name="id", tests=("not_null",)),),
    )


def export(step: ResolvedTransform, folder: Path) -> None:
    """The same project for the dbt CLI, as if it had never been parsed."""
    shutil.rmtree(folder, ignore_errors=True)
    for name, text in step.files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    config = step.destination.config
    output = {
        "type": "postgres",
        "host": config["host"],
        "port": config["port"],
        "dbname": config["database"],
        "user": config["user"],
        "password": config["password"],
        "sslmode": config["sslmode"],
        "schema": SCHEMA,
        "threads": THREADS,
    }
    profile = {NAME: {"target": "dev", "outputs": {"dev": output}}}
    (folder / "profiles.yml").write_text(yaml.safe_dump(profile))
