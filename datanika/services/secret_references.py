"""Secrets that the database does not hold: ``{"$secret": "env:NAME"}`` or ``"file:NAME"``.

Operators put the secret into the control plane's environment or into a folder, and refer to it
where a connection's secret would be. Only they may: whoever can aim a connection elsewhere could
have the secret sent there.
"""

from __future__ import annotations

import os
import re
from typing import Any, Final

from datanika.config import Settings, settings
from datanika.errors import Conflict, InvalidInput

KEY: Final = "$secret"
ENV_PREFIX: Final = "DATANIKA_SECRET_"
MAX_BYTES: Final = 65_536
_REFERENCE: Final = re.compile(
    r"env:([A-Z][A-Z0-9_]{0,127})|file:[A-Za-z0-9][A-Za-z0-9._-]{0,127}", re.ASCII
)


def is_reference(value: Any) -> bool:
    """Whether ``value`` is meant as a reference: whether it is a good one, see
    :func:`check_reference`."""
    return isinstance(value, dict)


def check_reference(value: dict[str, Any], field: str) -> None:
    """Raise :class:`InvalidInput` ``secret_reference_invalid`` unless ``value`` may be stored."""
    text = value.get(KEY)
    parsed = _REFERENCE.fullmatch(text) if isinstance(text, str) else None
    if len(value) == 1 and parsed is not None and not _is_forbidden(parsed[1] or ""):
        return
    raise InvalidInput(
        'A reference to a secret is {"$secret": "env:NAME"} or {"$secret": "file:NAME"}.',
        code="secret_reference_invalid",
        field=field,
        hint=f"NAME of a variable starts with {ENV_PREFIX} and is no setting of the platform; "
        "NAME of a file is one in the folder DATANIKA_SECRETS_DIR, without a path.",
    )


def resolve_reference(value: dict[str, Any]) -> str:
    """The secret itself; raises :class:`Conflict` ``secret_reference_missing``."""
    check_reference(value, KEY)
    scheme, _, name = str(value[KEY]).partition(":")
    found = os.environ.get(name) if scheme == "env" else _read_file(name)
    if not found:
        raise Conflict(
            f"The secret {scheme}:{name}, which this connection refers to, is not there.",
            code="secret_reference_missing",
            hint="Ask the operator of the platform to provide it.",
        )
    return found


def _is_forbidden(variable: str) -> bool:
    """Whether ``variable`` is none of the operator's secrets: DATANIKA_SECRET_KEY is not one."""
    if not variable:
        return False
    names = {f"DATANIKA_{name}".upper() for name in Settings.model_fields}
    return not variable.startswith(ENV_PREFIX) or variable in names


def _read_file(name: str) -> str | None:
    """The file's text without its last line break; None where it is not in the folder."""
    if settings.secrets_dir is None:
        return None
    folder = settings.secrets_dir.resolve()
    # Links inside the folder are fine (Kubernetes mounts secrets so), out of it they are not.
    path = (folder / name).resolve()
    try:
        if not path.is_relative_to(folder) or not path.is_file():
            return None
        if path.stat().st_size > MAX_BYTES:
            return None
        return path.read_text("utf-8").removesuffix("\n").removesuffix("\r")
    except (OSError, ValueError):
        return None
