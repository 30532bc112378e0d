"""Print ``.env.example`` with every empty secret filled in. Needs nothing but Python.

python docker/make_env.py > .env
"""

import base64
import re
import secrets
import sys
from pathlib import Path

EXAMPLE = Path(__file__).parent.parent / ".env.example"


def fernet_key() -> str:
    """32 random bytes as Fernet wants them (https://github.com/fernet/spec)."""
    return base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()


def secret_for(name: str) -> str:
    """A fresh value for the setting ``name``; URL-safe, because passwords end up in URLs."""
    match name:
        case "DATANIKA_ENCRYPTION_KEYS":
            return f"k1:{fernet_key()}"
        case "PREFECT_SERVER_ENCRYPTION_KEY":
            return fernet_key()
        case "PREFECT_API_AUTH_STRING":
            return f"datanika:{secrets.token_urlsafe(32)}"
        case _:
            return secrets.token_urlsafe(48)


def filled(example: str) -> str:
    """``example`` with a value behind every ``NAME=`` that has none."""
    return re.sub(r"(?m)^([A-Z_]+)=$", lambda found: f"{found[0]}{secret_for(found[1])}", example)


if __name__ == "__main__":
    sys.stdout.write(filled(EXAMPLE.read_text("utf-8")))
