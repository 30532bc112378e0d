"""Mails of a platform without a mail server land in a folder, and are told at the terminal."""

from __future__ import annotations

import email
import email.policy
import re
import threading
from collections.abc import Callable
from email.message import EmailMessage
from pathlib import Path

LOOK_SECONDS = 1.0
_LINK = re.compile(r"https?://\S+")


def announce_mails(folder: Path, say: Callable[[str], None], stopping: threading.Event) -> None:
    """Tell every mail that lands in ``folder`` from now on, with its link, until ``stopping``."""
    known = _names(folder)
    while not stopping.wait(LOOK_SECONDS):
        for name in sorted(_names(folder) - known):
            known.add(name)
            say(describe(folder / name))


def describe(path: Path) -> str:
    """To whom, what about, and where it leads: the file where that cannot be read."""
    try:
        message = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
    except OSError:
        return f"Mail: {path}"
    assert isinstance(message, EmailMessage)
    body = message.get_body(("plain",))
    found = _LINK.search(str(body.get_content())) if body is not None else None
    # Somebody's name must not move the cursor.
    head = "".join(one for one in f"{message['To']}: {message['Subject']}" if one.isprintable())
    return f"Mail to {head}\n  {found[0] if found else path}"


def _names(folder: Path) -> set[str]:
    # A hidden one is not written to its end yet.
    return {path.name for path in folder.glob("*.eml") if not path.name.startswith(".")}
