"""Columns of which only a hash or a mask may arrive, done on what was read.

The hash is HMAC-SHA-256 of the value's text under the organisation's key, in hex: whoever has the
destination and not the key cannot try values. The text of text, integers, booleans and decimals is
the same in every source; other types have their source's.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
import json
from typing import TYPE_CHECKING, Any

from datanika.contracts.shape import Mask
from datanika.contracts.spec import TableSpec
from datanika.errors import TerminalStepError

if TYPE_CHECKING:
    import pyarrow as pa

_BLOCK = 64
"""Bytes of SHA-256's block (RFC 2104)."""


class Privacy:
    """What of a table is hidden, and how. ``key`` is in hex."""

    def __init__(self, table: TableSpec, key: str) -> None:
        self.hashed = frozenset(table.hash)
        self.masks = {mask.column: mask for mask in table.mask}
        if self.hashed and not key:
            raise TerminalStepError(
                "This step was given no key to hash columns with.",
                code="hash_key_missing",
                hint="Update the platform: its control plane is older than its worker.",
            )
        self._key = bytes.fromhex(key)

    @property
    def columns(self) -> frozenset[str]:
        """The columns that are hidden."""
        return self.hashed | self.masks.keys()

    @property
    def pads(self) -> tuple[str, str]:
        """Inner and outer key of HMAC in hex, for databases that have SHA-256 only."""
        return pads(self._key)

    def hash(self, text: str) -> str:
        """As 64 hex digits."""
        content = text.encode("utf-8", "surrogatepass")
        return hmac.new(self._key, content, hashlib.sha256).hexdigest()

    def cover(self, name: str, value: Any) -> str | None:
        """What of ``value`` in column ``name`` may be seen."""
        if value is None:
            return None
        if name in self.hashed:
            return self.hash(text_of(value))
        return masked(self.masks[name], value)

    def row(self, row: dict[str, Any]) -> dict[str, Any]:
        """``row`` with its hidden columns hidden."""
        hidden = self.columns & row.keys()
        return {**row, **{name: self.cover(name, row[name]) for name in hidden}}

    def arrow(self, batch: pa.Table) -> pa.Table:
        """The same for a table of rows; hidden columns become text."""
        import pyarrow as pa

        for position, name in enumerate(batch.column_names):
            if name in self.columns:
                values = [self.cover(name, value) for value in batch.column(name).to_pylist()]
                batch = batch.set_column(
                    position, name, pa.chunked_array([pa.array(values, pa.string())])
                )
        return batch

    def schema(self, schema: pa.Schema) -> pa.Schema:
        """``schema`` as :meth:`arrow` leaves it."""
        import pyarrow as pa

        return pa.schema(
            [
                pa.field(field.name, pa.string()) if field.name in self.columns else field
                for field in schema
            ]
        )


def pads(key: bytes) -> tuple[str, str]:
    """RFC 2104's inner and outer key, in hex."""
    block = key.ljust(_BLOCK, b"\0")
    return bytes(b ^ 0x36 for b in block).hex(), bytes(b ^ 0x5C for b in block).hex()


def masked(mask: Mask, value: Any) -> str | None:
    """What ``mask`` lets through of a value that is not None."""
    match mask.how:
        case "null":
            return None
        case "keep_last":
            text = text_of(value)
            rest = text[-mask.keep :] if len(text) > mask.keep else ""
            return mask.cover + rest
        case "text":
            return mask.cover


def text_of(value: Any) -> str:
    """The text of a value, as SQL's cast to text would have it where that is the same for all."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, bytes):
        return "\\x" + value.hex()
    if isinstance(value, dt.datetime):
        return value.isoformat(" ")
    if isinstance(value, dt.date | dt.time):
        return value.isoformat()
    if isinstance(value, dict | list):
        return json.dumps(value, default=str, ensure_ascii=False)
    return format(value, "f") if type(value).__name__ == "Decimal" else str(value)
