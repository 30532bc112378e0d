"""The command line starts fast and imports a subcommand only when it is needed."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

from typer.testing import CliRunner

from datanika.cli.main import COMMANDS, app

DATANIKA = str(Path(sys.executable).with_name("datanika"))


def test_help_names_every_command() -> None:
    shown = CliRunner().invoke(app, ["--help"])
    assert shown.exit_code == 0
    assert all(command in shown.output for command in COMMANDS)


def test_every_command_has_help() -> None:
    for command in COMMANDS:
        shown = CliRunner().invoke(app, [command, "--help"])
        assert shown.exit_code == 0, shown.output
        assert f"{command} [OPTIONS]" in shown.output


def test_an_unknown_command_is_refused() -> None:
    assert CliRunner().invoke(app, ["nonsense"]).exit_code == 2


def test_help_takes_less_than_half_a_second() -> None:
    """Of processor time, the best of several: other tests may keep the machine busy."""

    def seconds() -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([DATANIKA, "--help"], check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    assert min(seconds() for _ in range(8)) < 0.5
