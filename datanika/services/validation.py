"""Checks that several services make."""

from __future__ import annotations

import re

from datanika.contracts.text import NAME_PATTERN
from datanika.errors import InvalidInput, PreconditionFailed

_NAME = re.compile(NAME_PATTERN)


def valid_name(name: str, field: str = "name") -> str:
    """``name`` without surrounding space: 1 to 200 characters, one of which can be seen.

    Raises :class:`InvalidInput` ``name_invalid``.
    """
    name = name.strip()
    if len(name) > 200 or not _NAME.fullmatch(name):
        raise InvalidInput(
            "A name has 1 to 200 characters, without control characters.",
            code="name_invalid",
            field=field,
        )
    return name


def check_revision(current: int, expected: int | None) -> None:
    """Raise :class:`PreconditionFailed` ``stale_revision`` unless ``expected`` is ``current`` or
    None."""
    if expected is not None and expected != current:
        raise PreconditionFailed(
            "Somebody else changed this since you opened it.",
            code="stale_revision",
            hint="Reload, and make your change again.",
        )


def local_path(path: str) -> str:
    """``path`` if it stays on this site, else the first page."""
    stays = path.startswith("/") and not path.startswith(("//", "/\\"))
    return path if stays and path.isprintable() else "/"
