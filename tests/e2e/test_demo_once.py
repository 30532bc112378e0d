"""``datanika demo --once`` twice in one data folder: right figures, none doubled, nothing left."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from tests.support.net import free_port

FIRST_BUDGET_SECONDS, AGAIN_BUDGET_SECONDS = 120, 60
SLACK = 3.0
"""Other tests share the machine; the budgets themselves hold on an idle one."""

_PLATFORM_VARIABLES = ("DATANIKA_", "PREFECT_", "DATABASE_URL", "REDIS_URL")


@dataclass
class Demo:
    output: str
    seconds: float


def run_demo(home: Path) -> Demo:
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(_PLATFORM_VARIABLES)
    }
    started = time.monotonic()
    done = subprocess.run(
        [
            Path(sys.executable).with_name("datanika"),
            *("demo", "--once", "--home", home, "--port", str(free_port())),
        ],
        env=environment | {"COLUMNS": "160"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return Demo(done.stdout, time.monotonic() - started)


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("demo") / "home"


@pytest.fixture(scope="module")
def first(home) -> Demo:
    return run_demo(home)


@pytest.fixture(scope="module")
def again(first, home) -> Demo:
    return run_demo(home)


def rows_of(demo: Demo) -> dict[str, tuple[int, int]]:
    """Loaded table -> (rows in the warehouse, rows that the run wrote), as printed."""
    found = re.findall(r"^\W*raw\.(\w+)\W+([\d,]+)\W+([\d,]+)\W*$", demo.output, re.MULTILINE)
    return {
        name: (int(rows.replace(",", "")), int(written.replace(",", "")))
        for name, rows, written in found
    }


pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]


def test_the_first_demo_loads_transforms_and_checks_everything(first):
    assert rows_of(first) == {
        "airlines": (16, 16),
        "airports": (1_458, 1_458),
        "planes": (3_322, 3_322),
        "weather": (26_115, 26_115),
        "flights": (336_776, 336_776),
    }
    assert "18 passed, 1 warned, 0 failed" in first.output
    assert "All figures are right" in first.output
    assert first.seconds < FIRST_BUDGET_SECONDS * SLACK


def test_a_second_demo_creates_nothing_and_doubles_no_row(again):
    assert "0 created" in again.output
    assert {name: rows for name, (rows, _) in rows_of(again).items()} == {
        "airlines": 16,
        "airports": 1_458,
        "planes": 3_322,
        "weather": 26_115,
        "flights": 336_776,
    }
    # The newest hour is read again, and nothing else of what grows.
    assert rows_of(again)["flights"][1] == 5
    assert "All figures are right" in again.output
    assert again.seconds < AGAIN_BUDGET_SECONDS * SLACK


def test_the_password_is_shown_once_and_kept_nowhere(first, again, home):
    found = re.search(r"password (\S+) \(shown this once\)", first.output)
    assert found
    password = found.group(1)
    assert "password" not in again.output
    holding = [
        path
        for path in home.rglob("*")
        if path.is_file() and not path.is_symlink() and password.encode() in path.read_bytes()
    ]
    assert holding == []


def test_only_its_owner_may_read_the_key(again, home):
    assert stat.S_IMODE((home / "cli.json").stat().st_mode) == 0o600


def test_no_process_is_left(again, home):
    left = [
        process.info
        for process in psutil.process_iter(["pid", "cmdline"])
        if any(str(home) in part for part in process.info["cmdline"] or ())
    ]
    assert left == []
