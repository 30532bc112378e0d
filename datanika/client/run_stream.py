"""Reading server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html), and
coming back when the connection is lost."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from pydantic import TypeAdapter

from datanika.client.http import Http, error_of
from datanika.contracts.api import Problem, RunEnded, StreamedEvent
from datanika.errors import Unavailable

PATIENCE_SECONDS = 60.0
"""How long the platform may be away while a run is followed."""
RETRY_SECONDS = 0.5
HEARTBEAT_SECONDS = 15.0
"""How often the server says something."""

_KINDS = frozenset({"log", "step", "run", "end"})
_event: TypeAdapter[StreamedEvent] = TypeAdapter(StreamedEvent)


def follow_run(http: Http, path: str, after: str | None, wait: bool) -> Iterator[StreamedEvent]:
    """The events after ``after`` until the run's end; without ``wait`` until there is no more.

    Raises :class:`Unavailable` when the platform is away for :data:`PATIENCE_SECONDS`, and what the
    server says.
    """
    lost_at: float | None = None
    while True:
        params: dict[str, Any] = {"follow": wait}
        if after is not None:
            params["after"] = after
        try:
            for event in _events(http.download(path, params, longer=2 * HEARTBEAT_SECONDS)):
                lost_at, after = None, event.id
                yield event
                if isinstance(event, RunEnded):
                    return
            if not wait:
                return
        except Unavailable:
            lost_at = lost_at or time.monotonic()
            if time.monotonic() - lost_at > PATIENCE_SECONDS:
                raise
        http.pause(RETRY_SECONDS)


def _events(chunks: Iterator[bytes]) -> Iterator[StreamedEvent]:
    for fields in read_fields(chunks):
        kind = fields.get("event", "")
        if kind == "error":
            raise error_of(Problem.model_validate_json(fields["data"]))
        if kind in _KINDS:
            yield _event.validate_json(
                f'{{"event":"{kind}","id":"{fields["id"]}","data":{fields["data"]}}}'
            )


def read_fields(chunks: Iterator[bytes]) -> Iterator[dict[str, str]]:
    """The fields of each whole event. Lines end with LF or CR LF.

    Not split as text: JSON may hold characters, such as U+2028, that end a line elsewhere.
    """
    rest = b""
    fields: dict[str, str] = {}
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        for raw in lines:
            line = raw.removesuffix(b"\r").decode()
            if not line:
                if "data" in fields:
                    yield fields
                fields = {}
                continue
            name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if name == "data" and "data" in fields:
                value = f"{fields['data']}\n{value}"
            if name:
                fields[name] = value
