"""Checks that several services make."""

from __future__ import annotations

from datanika.errors import InvalidInput, PreconditionFailed


def valid_name(name: str, field: str = "name") -> str:
    """``name`` without surrounding space: 1 to 200 printable characters.

    Raises :class:`InvalidInput` ``name_invalid``.
    """
    name = name.strip()
    if not 1 <= len(name) <= 200 or not name.isprintable():
        raise InvalidInput(
            "A name has 1 to 200 printable characters.", code="name_invalid", field=field
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
