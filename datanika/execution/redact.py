"""Masks the secrets of one step in everything that leaves its engine child."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote, quote_plus

MASK = "•••"
MIN_LENGTH = 4
"""Shorter values would mask parts of ordinary words; such a secret protects nothing anyway."""


class Redactor:
    """Replaces each secret, however it is written: plain, quoted, URL-encoded, base64.

    base64 is found inside of longer text too (``user:password`` of HTTP basic), because each of
    the three alignments has a middle part that depends on the secret alone.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        forms = {form for secret in secrets if len(secret) >= MIN_LENGTH for form in _forms(secret)}
        # The longest first, or a short form would cut a longer one and leave its rest readable.
        ordered = sorted((form for form in forms if len(form) >= MIN_LENGTH), key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, ordered))) if ordered else None

    def text(self, text: str) -> str:
        """``text`` without secrets."""
        return self._pattern.sub(MASK, text) if self._pattern else text

    def value(self, value: Any) -> Any:
        """A JSON-like value with every string in it, keys included, redacted."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {self.text(str(key)): self.value(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.value(item) for item in value]
        return value


def _forms(secret: str) -> Iterable[str]:
    yield secret
    yield secret.strip()
    for encoded in (quote(secret), quote(secret, safe=""), quote_plus(secret)):
        yield encoded
        yield re.sub("%[0-9A-F]{2}", lambda match: match[0].lower(), encoded)
    yield json.dumps(secret)[1:-1]
    yield json.dumps(secret, ensure_ascii=False)[1:-1]
    yield repr(secret)[1:-1]
    yield secret.replace("'", "''")
    yield secret.replace("\\", "\\\\").replace("'", "\\'")
    data = secret.encode()
    yield data.hex()
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        for shift in range(3):
            padded = b"\x00" * shift + data
            text = encode(padded).decode().rstrip("=")
            # Characters that mix bits of the secret with bits of its neighbours are left out.
            first = (0, 2, 3)[shift]
            last = len(padded) * 8 // 6
            core = text[first:last]
            if len(core) >= 6:
                yield core
