"""Where this machine's programs find the platform and a key of it.

``DATANIKA_URL`` and ``DATANIKA_TOKEN``, else ``cli.json`` in the data folder, which
``datanika demo`` writes.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from datanika.errors import ConfigError


def credentials_file(home: Path) -> Path:
    """Where this machine's command line finds the platform and its key."""
    return home / "cli.json"


def save_credentials(home: Path, url: str, token: str) -> None:
    """Remember the platform and a key of it for this user's commands; nobody else may read it."""
    path = credentials_file(home)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.fchmod(descriptor, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump({"url": url, "token": token}, file)


def find_credentials() -> tuple[str, str]:
    """URL and token; raises :class:`ConfigError` where nothing says them."""
    from datanika.config import data_home

    saved: dict[str, str] = {}
    path = credentials_file(data_home())
    if path.is_file():
        saved = json.loads(path.read_text("utf-8"))
    url = os.environ.get("DATANIKA_URL") or saved.get("url")
    token = os.environ.get("DATANIKA_TOKEN") or saved.get("token")
    if not url or not token:
        raise ConfigError(
            "There is no platform to talk to.",
            code="client_not_configured",
            hint="Set DATANIKA_URL and DATANIKA_TOKEN (an API key), or run `datanika demo`.",
        )
    return url, token
