"""The secrets of one installation, made at its first start and kept in the data folder."""

from __future__ import annotations

import base64
import json
import os
import secrets
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from datanika.errors import ConfigError

FILE = "secrets.json"


def _token() -> str:
    return secrets.token_urlsafe(36)


def _fernet_key() -> str:
    """A Fernet key: 32 random bytes in URL-safe base64, padded."""
    return base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()


@dataclass(frozen=True, repr=False)
class Secrets:
    """Everything that only this installation knows. Back it up with the database."""

    secret_key: str
    encryption_keys: str
    worker_token: str
    prefect_auth_string: str
    prefect_encryption_key: str
    postgres_password: str
    owner_password: str
    application_password: str
    prefect_password: str
    demo_password: str
    redis_password: str

    @classmethod
    def generate(cls) -> Secrets:
        return cls(
            secret_key=_token(),
            encryption_keys=f"k1:{_fernet_key()}",
            worker_token=_token(),
            prefect_auth_string=f"datanika:{_token()}",
            prefect_encryption_key=_fernet_key(),
            **{field.name: _token() for field in fields(cls) if field.name.endswith("_password")},
        )


def write_private(path: Path, text: str) -> None:
    """Replace ``path`` as a whole by a file that only its owner may read."""
    draft = path.with_name(f".{path.name}.new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.rename(path)


def load_or_create(home: Path) -> Secrets:
    """The secrets of ``home``; made when it has none. Raises :class:`ConfigError`.

    A file that cannot be read stops the start: new secrets would lock the old data up for good.
    """
    path = home / FILE
    if not path.exists():
        made = Secrets.generate()
        write_private(path, json.dumps(asdict(made), indent=2) + "\n")
        return made
    path.chmod(0o600)
    try:
        return Secrets(**json.loads(path.read_text("utf-8")))
    except (ValueError, TypeError) as error:
        raise ConfigError(
            f"{path} is damaged.",
            code="secrets_damaged",
            hint="Restore it from a backup. Without it the stored credentials cannot be read.",
        ) from error
