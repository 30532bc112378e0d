"""Does a text give a canary away? However it is written, and also if only a part of it is there.

Independent of the redactor: it does not list forms, but undoes encodings and looks for the canary's
random middle.
"""

from __future__ import annotations

import base64
import binascii
import html
import json
import re
import secrets
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote, unquote_plus

WINDOW = 8
"""Characters of the random part that must not be found in a row: 32 bits of it."""


def middle_of(canary: str) -> str:
    """The random part."""
    found = re.search(r"[0-9a-f]{24}", canary)
    assert found
    return found[0]


def new_canary(pattern: str) -> str:
    """``pattern`` with its ``{}`` filled by 24 random hexadecimal digits."""
    return pattern.replace("{}", secrets.token_hex(12))


def leaks(canary: str, text: str) -> list[str]:
    """The parts of ``canary`` that ``text`` gives away."""
    middle = middle_of(canary)
    windows = {middle[at : at + WINDOW] for at in range(len(middle) - WINDOW + 1)}
    return sorted(
        {window for seen in readings(text) for window in windows if window in seen.lower()}
    )


def strings_of(value: Any) -> Iterator[str]:
    """Every string of a JSON-like value, keys included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield str(key)
            yield from strings_of(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from strings_of(item)


def readings(text: str) -> Iterator[str]:
    """``text``, and what is in it once encodings are undone."""
    yield text
    yield unquote(text)
    yield unquote_plus(unquote_plus(text))
    yield html.unescape(text)
    for line in text.splitlines():
        try:
            yield "\n".join(strings_of(json.loads(line)))
        except ValueError:
            continue
    for token in re.findall(r"[0-9a-fA-F]{16,}", text):
        for start in (0, 1):
            whole = token[start : start + (len(token) - start) // 2 * 2]
            yield bytes.fromhex(whole).decode("latin-1")
    for token in re.findall(r"[A-Za-z0-9+/_-]{11,}", text):
        for start in range(4):
            part = token[start:].replace("-", "+").replace("_", "/")
            try:
                data = base64.b64decode(part[: len(part) // 4 * 4])
            except binascii.Error:
                continue
            yield data.decode("latin-1")
