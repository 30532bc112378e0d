"""Masks the secrets of one step in everything that leaves its engine child."""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Iterable
from enum import Enum
from typing import Any, cast
from urllib.parse import quote, quote_plus

from pydantic import BaseModel

MASK = "•••"
MIN_LENGTH = 4
"""Shorter values would mask parts of ordinary words; such a secret protects nothing anyway."""

MAX_TEXT = 100_000
"""Characters of one string in an event."""
MAX_FAILURE = 2_000
"""Characters of a failure's message."""
NAME_LENGTH = 12
"""Letters and digits that a secret needs to be looked for in names that were made of it."""
# A password "load" must not turn an event into none.
_STRUCTURE = frozenset({"type", "step_key"})


class Redactor:
    """Replaces each secret, however it is written: plain, quoted, URL-encoded, base64, as a name.

    base64 is found inside of longer text too (``user:password`` of HTTP basic), because each of
    the three alignments has a middle part that depends on the secret alone.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        known = [secret for secret in secrets if len(secret) >= MIN_LENGTH]
        forms = {form for secret in known for form in _forms(secret)}
        # Messages are made one line.
        forms |= {" ".join(form.split()) for form in forms}
        # The longest first, or a short form would cut a longer one and leave its rest readable.
        ordered = sorted((form for form in forms if len(form) >= MIN_LENGTH), key=len, reverse=True)
        patterns = [*map(re.escape, ordered), *(name for one in known for name in _names(one))]
        self._pattern = re.compile("|".join(patterns), re.IGNORECASE) if patterns else None

    def text(self, text: str) -> str:
        """``text`` without secrets."""
        return self._pattern.sub(MASK, text) if self._pattern else text

    def value[T](self, value: T) -> T:
        """A value with every string in it redacted: keys of dicts too, but not what an event is
        made of, its enums and the names of its fields."""
        redacted: Any = value
        if isinstance(value, BaseModel):
            changed = {name: self.value(item) for name, item in value if name not in _STRUCTURE}
            redacted = value.model_copy(update=changed)
        elif isinstance(value, str) and not isinstance(value, Enum):
            redacted = self.text(value)
        elif isinstance(value, dict):
            redacted = {self.text(str(key)): self.value(item) for key, item in value.items()}
        elif isinstance(value, list):
            redacted = [self.value(item) for item in value]
        elif isinstance(value, tuple):
            redacted = tuple(self.value(item) for item in value)
        return cast("T", redacted)


def cut(value: object, limit: int = MAX_TEXT) -> object:
    """A JSON-like value with no string longer than ``limit``, nor in a "failure" than MAX_FAILURE.

    Only what is redacted may be cut: half a secret is not recognised.
    """
    if isinstance(value, str):
        text = value.encode("utf-8", "replace").decode()
        return text if len(text) <= limit else text[:limit] + "…"
    if isinstance(value, dict):
        return {
            key: cut(item, MAX_FAILURE if key == "failure" else limit)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [cut(item, limit) for item in value]
    return value


def _forms(secret: str) -> Iterable[str]:
    """How the secret may be written, by itself or inside of something that is written so again."""
    data = secret.encode("utf-8", "surrogatepass")
    # Headers are latin-1 to one end and UTF-8 to the other.
    readings = {
        secret,
        data.decode("latin-1"),
        secret.encode("latin-1", "replace").decode("latin-1"),
    }
    yield from {text for one in readings for text in _quoted(one)}
    yield from {again for text in set(_quoted(secret)) for again in _quoted(text)}
    for raw in {data, secret.encode("latin-1", "replace")}:
        yield raw.hex()
        yield raw.hex().upper()
        yield repr(raw)[2:-1]
        yield from _base64(raw)


def _quoted(text: str) -> Iterable[str]:
    yield text
    yield text.strip()
    for encoded in (
        quote(text, errors="replace"),
        quote(text, safe="", errors="replace"),
        quote_plus(text, errors="replace"),
    ):
        yield encoded
        yield re.sub("%[0-9A-F]{2}", lambda match: match[0].lower(), encoded)
    yield json.dumps(text)[1:-1]
    yield json.dumps(text, ensure_ascii=False)[1:-1]
    yield repr(text)[1:-1]
    yield ascii(text)[1:-1]
    yield html.escape(text)
    yield html.escape(text, quote=False)
    yield text.replace("'", "''")
    yield text.replace("\\", "\\\\").replace("'", "\\'")


def _names(secret: str) -> Iterable[str]:
    """Patterns of the secret as a column or table name, which is snake case of what it was called.

    Its letters and digits in their order, with anything else between them. dlt turns some signs
    into letters.
    """
    for text in {secret, secret.translate(_SIGNS)}:
        parts = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z0-9]+", text)
        if sum(map(len, parts)) >= NAME_LENGTH:
            yield r"[\W_]{0,8}".join(parts)


_SIGNS = str.maketrans("+*@|", "xxal")


def _base64(data: bytes) -> Iterable[str]:
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
