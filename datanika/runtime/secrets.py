"""The secrets of one installation, made at its first start and kept in the data folder."""

from __future__ import annotations

import base64
import fcntl
import itertools
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

from datanika.errors import ConfigError

FILE = "secrets.json"
KEYS_FILE = "encryption.keys"
"""The keys of ``secrets.json`` once more: the file that running processes read again."""


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
    with _alone(home):
        path = home / FILE
        if path.exists():
            path.chmod(0o600)
            found = _read(path)
        else:
            found = Secrets.generate()
            _write(path, found)
        write_private(keys_file(home), found.encryption_keys + "\n")
        return found


def keys_file(home: Path) -> Path:
    """Where processes read the encryption keys of ``home``."""
    return home / KEYS_FILE


def add_encryption_key(home: Path) -> str:
    """A new key, which encrypts from now on; its id. Raises :class:`ConfigError`.

    The keys before it stay: they decrypt. Running processes read the file at each use, so whoever
    meets a ciphertext of the new key finds the key there. ``secrets.json`` is written first: what
    is in use can be found in the backup that it belongs to.
    """
    path = home / FILE
    if not path.exists():
        raise ConfigError(
            f"{home} has no secrets of its own.",
            code="secrets_missing",
            hint="Where you give DATANIKA_ENCRYPTION_KEYS yourself, add the key there.",
        )
    with _alone(home):
        found = _read(path)
        used = {item.partition(":")[0] for item in found.encryption_keys.split(",")}
        kid = next(f"k{number}" for number in itertools.count(1) if f"k{number}" not in used)
        keys = f"{kid}:{_fernet_key()},{found.encryption_keys}"
        _write(path, replace(found, encryption_keys=keys))
        write_private(keys_file(home), keys + "\n")
    return kid


@contextmanager
def _alone(home: Path) -> Iterator[None]:
    """One process at a time changes the secrets of ``home``."""
    with (home / ".secrets.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _write(path: Path, made: Secrets) -> None:
    write_private(path, json.dumps(asdict(made), indent=2) + "\n")


def _read(path: Path) -> Secrets:
    try:
        return Secrets(**json.loads(path.read_text("utf-8")))
    except (ValueError, TypeError) as error:
        raise ConfigError(
            f"{path} is damaged.",
            code="secrets_damaged",
            hint="Restore it from a backup. Without it the stored credentials cannot be read.",
        ) from error
