"""A requests session that stays with one server, and only where egress allows.

Every connection resolves its host, has the addresses judged and goes to one of them, whoever asked
for it: the first request, a redirect or a next-page link. And as every request carries the
connection's credentials, none may go to another server than the base URL's.
"""

from __future__ import annotations

import socket
from functools import partial
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import NameResolutionError, NewConnectionError
from urllib3.util import connection as urllib3_connection
from urllib3.util import parse_url

from datanika.egress.guard import EgressGuard
from datanika.egress.hosts import canonical_host
from datanika.engines.dlt_engine.shape.json_numbers import parse_number
from datanika.errors import EgressRefused, TerminalStepError

MAX_REDIRECTS = 5
BACKOFF_SECONDS = 1.0
_PORTS = {"http": 80, "https": 443}
_Origin = tuple[str, str, int]
"""(scheme, canonical host, port)"""


def pinned_session(base_url: str, guard: EgressGuard) -> Any:
    """dlt's retrying session behind ``guard``. Close it.

    Raises :class:`TerminalStepError` for a base URL that is none, and :class:`EgressRefused` for
    its host's form.
    """
    from dlt.sources.helpers.requests import Client

    session = Client(raise_for_status=False, request_backoff_factor=BACKOFF_SECONDS).session
    # No proxy, no .netrc and no certificates from the environment.
    session.trust_env = False
    session.max_redirects = MAX_REDIRECTS
    adapter = PinnedAdapter(_base_origin(base_url), guard)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session


def _base_origin(base_url: str) -> _Origin:
    refused = TerminalStepError(
        "The base URL is not a plain http or https URL.",
        code="connection_config_invalid",
        field="config.base_url",
        hint="Write it like https://api.example.com/v1.",
    )
    try:
        url = parse_url(base_url)
    except ValueError:
        raise refused from None
    if url.scheme not in _PORTS or url.host is None or url.auth is not None:
        raise refused
    return url.scheme, canonical_host(url.host), url.port or _PORTS[url.scheme]


class PinnedAdapter(HTTPAdapter):
    """Refuses other servers than ``origin``, and connects through ``guard``."""

    # dlt copies what it is given; a copy must not forget what it guards.
    __attrs__ = [*HTTPAdapter.__attrs__, "_origin", "_guard"]

    def __init__(self, origin: _Origin, guard: EgressGuard) -> None:
        self._origin, self._guard = origin, guard
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = _pools(self._guard)

    def get_connection_with_tls_context(
        self, request: Any, verify: Any, proxies: Any = None, cert: Any = None
    ) -> HTTPConnectionPool:
        # The pool's host is what will be connected to, whatever another parser makes of the URL.
        pool = super().get_connection_with_tls_context(request, verify, None, None)
        self._stay(pool)
        return pool

    def send(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        # A "key" of that name would reach another site of the same server.
        request.headers.pop("Host", None)
        return super().send(request, *args, **{**kwargs, "proxies": None})

    def build_response(self, *args: Any, **kwargs: Any) -> Any:
        # Whatever reads the answer's JSON learns of numbers that a double would round.
        response = super().build_response(*args, **kwargs)
        response.json = partial(response.json, parse_float=parse_number)  # type: ignore[method-assign]
        return response

    def _stay(self, pool: HTTPConnectionPool) -> None:
        scheme, host, port = self._origin
        found = (canonical_host(pool.host), pool.port or _PORTS[pool.scheme])
        upgraded = scheme == "http" and pool.scheme == "https" and (port, found[1]) == (80, 443)
        if found[0] == host and (upgraded or (pool.scheme, found[1]) == (scheme, port)):
            return
        raise EgressRefused(
            f"The API leads from {host}:{port} to {found[0]}:{found[1]} ({pool.scheme}), which "
            "would be given the connection's credentials.",
            code="other_host_refused",
            hint="If that server is right, make it the connection's base URL.",
        )


def _pools(guard: EgressGuard) -> dict[str, type[HTTPConnectionPool]]:
    class PinnedHTTP(HTTPConnection):
        def _new_conn(self) -> socket.socket:
            return _connect(self, guard)

    class PinnedHTTPS(HTTPSConnection):
        def _new_conn(self) -> socket.socket:
            return _connect(self, guard)

    class HTTPPool(HTTPConnectionPool):
        ConnectionCls = PinnedHTTP

    class HTTPSPool(HTTPSConnectionPool):
        ConnectionCls = PinnedHTTPS

    return {"http": HTTPPool, "https": HTTPSPool}


def _connect(connection: HTTPConnection, guard: EgressGuard) -> socket.socket:
    """A connected socket; TLS and the Host header keep the connection's own host."""
    port = connection.port or connection.default_port
    try:
        addresses = guard.check(connection.host, port)
    except socket.gaierror as error:
        raise NameResolutionError(connection.host, connection, error) from error
    failure: OSError | None = None
    for address in addresses:
        try:
            return urllib3_connection.create_connection(
                (address, port),
                connection.timeout,
                socket_options=connection.socket_options,
            )
        except OSError as error:
            failure = error
    raise NewConnectionError(connection, f"Failed to establish a new connection: {failure}")
