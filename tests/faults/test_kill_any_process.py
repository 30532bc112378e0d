"""``kill -9`` of any single process of ``datanika up``: everything is healthy within a minute.

And however the platform ends, nothing of it stays behind.
"""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
import pytest
from pydantic import SecretStr

from datanika.config import Settings
from datanika.runtime.checks import checks
from datanika.runtime.ports import Ports, remembered
from datanika.runtime.processes import is_alive
from datanika.runtime.secrets import load_or_create
from datanika.runtime.topology import Topology
from tests.support.platform import RunningPlatform, processes_of, running_platform

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

HEALED_SECONDS = 60
PARTS = ("redis", "postgres", "prefect", "web", "celery", "worker")


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    with TemporaryDirectory(prefix="datanika-test-kill-") as folder:
        Path(folder).chmod(0o711)
        yield Path(folder) / "home"


@pytest.fixture
def other_home() -> Iterator[Path]:
    with TemporaryDirectory(prefix="datanika-test-kill-") as folder:
        Path(folder).chmod(0o711)
        yield Path(folder) / "home"


@pytest.fixture(scope="module")
def running(home: Path) -> Iterator[RunningPlatform]:
    with running_platform(home) as platform:
        yield platform
    assert processes_of(home) == []


def topology(home: Path) -> Topology:
    given = Settings(_env_file=None)
    for name in ("database_url", "redis_url", "prefect_api_url"):
        setattr(given, name, None)
    return Topology(home, given, Ports(**remembered(home)), load_or_create(home))


def part_process(platform: RunningPlatform, name: str) -> psutil.Process:
    """The process of a part, found by what is special in its command line."""
    mark = {
        "redis": "valkey-server",
        "postgres": "pginstall/bin/postgres",
        "prefect": "prefect server start",
        "web": "datanika.ui.serve:create_asgi",
        "celery": "celery -A datanika.tasks",
        "worker": "datanika.execution.worker",
        "supervisor": "datanika.runtime.supervisor",
    }[name]
    found = [one for one in platform.descendants() if mark in " ".join(one.cmdline())]
    # Celery's own children have its command line too: its first process is the oldest.
    return min(found, key=lambda one: (one.create_time(), one.pid))


def pids_of(platform: RunningPlatform, name: str) -> list[int]:
    with contextlib.suppress(ValueError, psutil.Error):
        return [part_process(platform, name).pid]
    return []


def unhealthy(platform: RunningPlatform, since: dict[str, float]) -> list[str]:
    """The parts that do not answer now."""
    asked = checks(topology(platform.home), lambda name: pids_of(platform, name))
    return [name for name in PARTS if not asked[name](since.get(name, 0.0))]


def heal(platform: RunningPlatform, since: dict[str, float]) -> float:
    """Seconds until every part answers."""
    began = time.monotonic()
    while wrong := unhealthy(platform, since):
        waited = time.monotonic() - began
        assert waited < HEALED_SECONDS, f"{wrong} after {waited:.0f} s\n{platform.text}"
        time.sleep(0.25)
    return time.monotonic() - began


@pytest.mark.parametrize("name", PARTS)
def test_a_killed_part_is_back_within_a_minute(running: RunningPlatform, name: str) -> None:
    victim = part_process(running, name)
    victim.kill()
    killed_at = time.time()
    psutil.wait_procs([victim], 10)
    seconds = heal(running, {name: killed_at} if name == "worker" else {})
    assert part_process(running, name).pid != victim.pid
    print(f"{name}: healthy again after {seconds:.1f} s")


def test_a_part_that_hangs_is_restarted(running: RunningPlatform) -> None:
    seen = len(running.text)
    hanging = part_process(running, "web")
    hanging.suspend()
    running.wait_for("web is healthy again", after=seen, seconds=150)
    assert not is_alive(hanging)


def test_a_killed_child_of_a_part_harms_nobody(running: RunningPlatform) -> None:
    for name in ("postgres", "celery", "worker"):
        for child in part_process(running, name).children()[:2]:
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
            heal(running, {})


def test_a_killed_supervisor_is_healed(running: RunningPlatform) -> None:
    seen = len(running.text)
    supervisor = part_process(running, "supervisor")
    before = set(running.descendants())
    supervisor.kill()
    running.wait_for("Everything is healthy again", after=seen, seconds=HEALED_SECONDS)
    heal(running, {})
    assert not [one for one in before if is_alive(one)]


def test_a_second_start_on_the_same_folder_is_refused(running: RunningPlatform) -> None:
    refused = subprocess.run(
        [str(Path(sys.executable).with_name("datanika")), "up", "--home", str(running.home)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert refused.returncode == 1
    assert "already_running" in refused.stderr
    assert running.url in refused.stderr


def test_what_developers_run_beside_it_finds_everything(running: RunningPlatform) -> None:
    settings = Settings(_env_file=running.home / "runtime.env")
    assert settings.port == int(running.url.rpartition(":")[2])
    for name in ("database_url", "database_admin_url", "redis_url", "secret_key", "worker_token"):
        assert isinstance(getattr(settings, name), SecretStr)


def test_when_the_platforms_own_process_is_killed_everything_ends(other_home: Path) -> None:
    """And the next start works on what the crash left."""
    home = other_home
    with running_platform(home) as platform:
        platform.process.send_signal(signal.SIGKILL)
        platform.process.wait()
        deadline = time.monotonic() + HEALED_SECONDS
        while left := processes_of(home):
            assert time.monotonic() < deadline, left
            time.sleep(0.2)
    with running_platform(home):
        pass
    assert processes_of(home) == []
