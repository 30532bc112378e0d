"""One platform per data folder; who is refused learns where the running one is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from datanika.errors import Conflict
from datanika.runtime.lock import HomeLock, holding

HOLD = """
import sys, time
from pathlib import Path
from datanika.runtime.lock import HomeLock
lock = HomeLock(Path(sys.argv[1]))
lock.acquire()
lock.publish({"pid": 1, "web_url": "http://127.0.0.1:8123"})
print("held", flush=True)
time.sleep(600)
"""


def test_a_second_start_is_refused_with_the_address_of_the_first(tmp_path: Path) -> None:
    with holding(tmp_path) as lock:
        lock.publish({"pid": 17, "web_url": "http://127.0.0.1:8001"})
        with pytest.raises(Conflict) as refused:
            HomeLock(tmp_path).acquire()
    assert refused.value.code == "already_running"
    assert "http://127.0.0.1:8001" in refused.value.message
    assert "17" in refused.value.message


def test_other_folders_are_other_platforms(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    with holding(tmp_path / "a"), holding(tmp_path / "b"):
        pass


def test_the_lock_of_a_killed_platform_is_free(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(Conflict, match="8123"):
            HomeLock(tmp_path).acquire()
        holder.kill()
    with holding(tmp_path):
        pass
