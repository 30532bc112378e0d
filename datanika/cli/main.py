"""The ``datanika`` command. A subcommand's module is imported when it is needed."""

from __future__ import annotations

import importlib
from typing import Any

import typer
from typer.core import TyperGroup
from typer.main import get_command

COMMANDS = (
    "up", "demo", "run", "logs", "plan", "upload", "import-project", "export-project",
    "operator", "limits", "queue", "rotate-keys", "verify-audit", "restore-organization",
)  # fmt: skip
"""In the order of the help. ``datanika a-b`` is the function ``a_b`` of ``datanika.cli.a_b``."""


class _Commands(TyperGroup):
    """Subcommands by name, each from the module of that name."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in COMMANDS:
            return None
        one = typer.Typer(add_completion=False)
        name = cmd_name.replace("-", "_")
        module = importlib.import_module(f"datanika.cli.{name}")
        one.command(cmd_name)(getattr(module, name))
        command = get_command(one)
        command.name = cmd_name
        return command


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,
    help="Data pipelines for many organisations: dlt loads, dbt transforms, Prefect runs them.",
)


@app.callback()
def root() -> None:
    """Data pipelines for many organisations: dlt loads, dbt transforms, Prefect runs them."""


def main() -> None:
    """Entry point of the console script."""
    app()
