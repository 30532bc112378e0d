"""A small JSON server that pages, filters, limits and refuses as a vendor's document says.

It is told in data what the vendor does and knows nothing of the connectors.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

PAGE = 2
"""Records of a page, whatever is asked for."""
Record = dict[str, Any]


@dataclass
class Asked:
    """A request."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any
    url: str


@dataclass
class Answer:
    body: Any
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


Paging = Callable[[Asked, list[Record], Callable[[list[Record]], Any]], Answer]
"""(request, all records that fit, how they are wrapped) -> one page."""


def by_link_header(asked: Asked, records: list[Record], wrap: Callable[..., Any]) -> Answer:
    page = int(asked.query.get("page_info", "0"))
    shown = records[page * PAGE : (page + 1) * PAGE]
    more = len(records) > (page + 1) * PAGE
    # All of the request is in the link, as vendors do it.
    query = "&".join(f"{k}={v}" for k, v in {**asked.query, "page_info": page + 1}.items())
    link = {"Link": f'<{asked.url}{asked.path}?{query}>; rel="next"'} if more else {}
    return Answer(wrap(shown), headers=link)


def by_last_id(param: str) -> Paging:
    def paging(asked: Asked, records: list[Record], wrap: Callable[..., Any]) -> Answer:
        ids = [record["id"] for record in records]
        start = ids.index(asked.query[param]) + 1 if param in asked.query else 0
        shown = records[start : start + PAGE]
        return Answer(wrap(shown) | {"has_more": start + PAGE < len(records)})

    return paging


def by_token(path: str, param: str, *, in_body: bool = False, **last: Any) -> Paging:
    """The next page's token at ``path`` of the answer comes back as ``param``."""

    def paging(asked: Asked, records: list[Record], wrap: Callable[..., Any]) -> Answer:
        given = asked.body.get(param) if in_body else asked.query.get(param)
        start = int(str(given).removeprefix("t")) if given else 0
        answer = wrap(records[start : start + PAGE])
        more = start + PAGE < len(records)
        if more:
            _put(answer, path, f"t{start + PAGE}")
        for name, value in last.items():
            _put(answer, name.replace("__", "."), (not value) if more else value)
        return Answer(answer)

    return paging


def by_next_url(path: str) -> Paging:
    def paging(asked: Asked, records: list[Record], wrap: Callable[..., Any]) -> Answer:
        start = int(asked.query.get("from", "0"))
        answer = wrap(records[start : start + PAGE])
        if start + PAGE < len(records):
            query = "&".join(f"{k}={v}" for k, v in {**asked.query, "from": start + PAGE}.items())
            _put(answer, path, f"{asked.path}?{query}")
        return Answer(answer)

    return paging


def by_offset_in_body(limit: int = PAGE) -> Paging:
    def paging(asked: Asked, records: list[Record], wrap: Callable[..., Any]) -> Answer:
        start, size = int(asked.body.get("offset", 0)), int(asked.body["limit"])
        return Answer(wrap(records[start : start + size]) | {"rowCount": len(records)})

    return paging


def _put(answer: dict[str, Any], path: str, value: Any) -> None:
    *above, name = path.split(".")
    for part in above:
        answer = answer.setdefault(part, {})
    answer[name] = value


@dataclass
class Vendor:
    """What one vendor does with one list of records."""

    path: str
    paging: Paging
    wrap: Callable[[list[Record]], Any]
    allowed: Callable[[Asked], bool]
    refusal: Answer
    since: Callable[[Asked, Record], bool] = lambda asked, record: True
    """Whether a record is among those asked for."""
    others: dict[str, Callable[[Asked], Any]] = field(default_factory=dict)


class SimulatedApi:
    def __init__(self, vendor: Vendor, records: list[Record]) -> None:
        self.vendor, self.records = vendor, list(records)
        self.asked: list[Asked] = []
        self.sent = 0
        """Records that were sent in pages."""
        self.limited = 0
        """So many requests are answered with 429 first."""
        self.url = ""

    def answer(self, asked: Asked) -> Answer:
        self.asked.append(asked)
        if not self.vendor.allowed(asked):
            return self.vendor.refusal
        if self.limited:
            self.limited -= 1
            return Answer({"message": "slow down"}, 429, {"Retry-After": "0"})
        if asked.path in self.vendor.others:
            return Answer(self.vendor.others[asked.path](asked))
        if asked.path != self.vendor.path:
            return Answer({"message": "nothing here"}, 404)
        found = [record for record in self.records if self.vendor.since(asked, record)]
        pages: list[Record] = []

        def wrap(page: list[Record]) -> Any:
            pages.extend(page)
            return self.vendor.wrap(page)

        answer = self.vendor.paging(asked, found, wrap)
        self.sent += len(pages)
        return answer


@contextmanager
def simulated(vendor: Vendor, records: list[Record]) -> Iterator[SimulatedApi]:
    """A server on this machine; it ends with the context."""
    api = SimulatedApi(vendor, records)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._serve()

        def do_POST(self) -> None:
            self._serve()

        def _serve(self) -> None:
            parts = urlsplit(self.path)
            raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            kind = self.headers.get("Content-Type", "")
            body = json.loads(raw) if "json" in kind else dict(parse_qsl(raw.decode()))
            asked = Asked(
                self.command, unquote(parts.path), dict(parse_qsl(parts.query)),
                {name.lower(): value for name, value in self.headers.items()}, body, api.url,
            )  # fmt: skip
            answer = api.answer(asked)
            data = json.dumps(answer.body).encode()
            self.send_response(answer.status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    api.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield api
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
