"""The launcher: a program that ends with whoever started it."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from datanika.runtime.launch import PARENT_GONE
from datanika.runtime.parts import LAUNCHER, Part
from datanika.runtime.processes import is_alive

STARTER = """
import os, subprocess, sys, time
child = subprocess.Popen(
    [sys.executable, "-I", "-S", sys.argv[1], "--parent", str(os.getpid()), "--signal", "15",
     "--", "sleep", "600"]
)
print(child.pid, flush=True)
time.sleep(600)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="a feature of Linux")
def test_the_program_ends_when_its_starter_is_killed() -> None:
    starter = subprocess.Popen(
        [sys.executable, "-c", STARTER, str(LAUNCHER)], stdout=subprocess.PIPE, text=True
    )
    with starter:
        assert starter.stdout is not None
        program = psutil.Process(int(starter.stdout.readline()))
        deadline = time.monotonic() + 20
        while program.name() != "sleep":
            assert time.monotonic() < deadline
            time.sleep(0.02)
        starter.kill()
    while is_alive(program):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_program_whose_starter_is_gone_already_does_not_start() -> None:
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(LAUNCHER), "--parent", "1", "--signal", "15",
         "--", "echo", "started"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == PARENT_GONE
    assert done.stdout == ""


def test_both_outputs_go_into_one_log(tmp_path: Path) -> None:
    import os

    part = Part("p", ("sh", "-c", "echo out; echo err >&2"), {}, "/", 0)
    done = subprocess.run(
        part.launch_command(os.getpid()), stdout=subprocess.PIPE, text=True, check=True
    )
    assert done.stdout.split() == ["out", "err"]


def test_a_part_survives_its_way_to_the_supervisor() -> None:
    part = Part("p", ("a", "b c"), {"X": "1"}, "/", 3, user="u", stop_signal=int(signal.SIGINT))
    assert Part.from_json(part.as_json()) == part
