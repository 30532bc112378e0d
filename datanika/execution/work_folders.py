"""The folders of engine children that died together with everything that would have removed them.

An engine host holds a shared lock on the folder of each of its children; the kernel frees it when
the host ends, however it ends.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import shutil
import time
from pathlib import Path

logger = logging.getLogger(__name__)

AGE_SECONDS = 3600.0
"""Younger ones are left alone: they may be about to be locked, or somebody's for a short while."""
SWEEP_SECONDS = 3600.0
PREFIXES = ("step-", "ad-hoc-", "warm-")


def sweep(root: Path, age_seconds: float = AGE_SECONDS) -> int:
    """Remove the folders under ``root`` that nobody lives in; how many."""
    removed = 0
    for folder in list(root.iterdir()) if root.is_dir() else ():
        if folder.name.startswith(PREFIXES) and _is_orphan(folder, time.time() - age_seconds):
            shutil.rmtree(folder, ignore_errors=True)
            removed += not folder.exists()
    if removed:
        logger.warning("Removed %s folders that crashed processes left behind.", removed)
    return removed


def _is_orphan(folder: Path, before: float) -> bool:
    with contextlib.suppress(OSError):
        if folder.is_symlink() or folder.stat().st_mtime > before:
            return False
        held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        finally:
            os.close(held)
        return True
    return False
