"""Servers that end with the test process that started them, even when that one is killed."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence

from datanika.runtime.parts import Part


def bound_to_us(
    command: Sequence[str], number: int = signal.SIGTERM, user: str | None = None
) -> list[str]:
    """``command``, run as ``user`` and sent the signal ``number`` when this process ends."""
    part = Part("test", tuple(command), {}, "/", 0, user=user, stop_signal=int(number))
    return part.launch_command(os.getpid())
