"""Folders of crashed engine children go; those of living ones stay."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from datanika.execution.work_folders import sweep


def folder(root: Path, name: str, age_seconds: float = 7200) -> Path:
    made = root / name
    (made / "tmp").mkdir(parents=True)
    at = made.stat().st_mtime - age_seconds
    os.utime(made, (at, at))
    return made


def test_a_folder_that_nobody_lives_in_is_removed(tmp_path: Path) -> None:
    left = folder(tmp_path, "step-a")
    assert sweep(tmp_path) == 1
    assert not left.exists()


def test_a_folder_whose_owner_lives_stays(tmp_path: Path) -> None:
    lived_in = folder(tmp_path, "step-a")
    held = os.open(lived_in, os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_SH)
    assert sweep(tmp_path) == 0
    assert lived_in.exists()
    os.close(held)
    assert sweep(tmp_path) == 1


def test_what_may_just_be_made_or_is_not_ours_stays(tmp_path: Path) -> None:
    folder(tmp_path, "step-new", age_seconds=60)
    folder(tmp_path, "else")
    (tmp_path / "datanika.nudge").touch()
    (tmp_path / "step-link").symlink_to(tmp_path / "else")
    assert sweep(tmp_path) == 0
    assert len(list(tmp_path.iterdir())) == 4


def test_a_folder_that_is_not_there_holds_nothing(tmp_path: Path) -> None:
    assert sweep(tmp_path / "work") == 0
