"""Become another program that ends together with whoever started it.

    python -I -S launch.py --parent PID --signal NUMBER [--user NAME] -- PROGRAM [ARGUMENT ...]

Run as a script, so that it costs some milliseconds: only the standard library, no site packages.
The kernel sends ``--signal`` when the process ``--parent`` ends, however it ends (Linux).
"""

from __future__ import annotations

# All of them before the user changes: another user may be unable to read this Python.
import ctypes
import os
import pwd
import sys

PR_SET_PDEATHSIG = 1
PARENT_GONE = 111


def become(user: str) -> None:
    """Drop root for ``user``, with no other group than its own."""
    entry = pwd.getpwnam(user)
    os.setgroups([])
    os.setgid(entry.pw_gid)
    os.setuid(entry.pw_uid)


def end_with_parent(parent: int, number: int) -> None:
    """Ask for the signal ``number`` at the end of ``parent``; ends at once if that is over."""
    if sys.platform == "linux":
        # After setuid, which would forget it.
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, number, 0, 0, 0)
    if os.getppid() != parent:
        raise SystemExit(PARENT_GONE)


def main(arguments: list[str]) -> None:
    split = arguments.index("--")
    options = dict(zip(arguments[:split:2], arguments[1:split:2], strict=True))
    program = arguments[split + 1 :]
    if "--user" in options:
        become(options["--user"])
    end_with_parent(int(options["--parent"]), int(options["--signal"]))
    # One log file, written by one rotating writer.
    os.dup2(1, 2)
    os.execvp(program[0], program)


if __name__ == "__main__":
    main(sys.argv[1:])
