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
from datanika.runtime.processes import is_alive
from tests.support.platform import RunningPlatform, processes_of, running_platform
from tests.support.platform_parts import PARTS, heal, part_process

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

HEALED_SECONDS = 60


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
