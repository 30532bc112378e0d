"""httpx clients for URLs that tenants choose: webhooks and the like.

    async with egress_client(policy, timeout=10) as client:
        response = await client.post(url, json=payload)

Every request is resolved, judged and sent to an address that passed; the certificate is verified
for the URL's host. No redirects unless asked for (each hop is judged), no proxies, no keep-alive.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Iterator

import httpx

from datanika.contracts.egress import EgressPolicy
from datanika.egress.guard import EgressGuard, Resolve, system_resolve
from datanika.egress.hosts import canonical_host
from datanika.errors import EgressRefused

MAX_RESPONSE_BYTES = 64 * 1024
_PORTS = {"http": 80, "https": 443}
# A kept connection would be reused for another host at the same address.
_NO_REUSE = httpx.Limits(max_keepalive_connections=0)


def egress_client(
    policy: EgressPolicy,
    *,
    timeout: float = 10.0,
    max_bytes: int = MAX_RESPONSE_BYTES,
    resolve: Resolve = system_resolve,
    verify: ssl.SSLContext | bool = True,
) -> httpx.AsyncClient:
    """An asynchronous client; its requests raise :class:`EgressRefused` and httpx's errors.

    ``timeout``: seconds for a whole request, its answer included. ``max_bytes``: a longer answer
    ends with EgressRefused ``response_too_large`` when it is read.
    """
    guard = EgressGuard(policy, resolve)
    transport = AsyncPinnedTransport(guard, timeout=timeout, max_bytes=max_bytes, verify=verify)
    return httpx.AsyncClient(transport=transport, timeout=timeout, trust_env=False)


def sync_egress_client(
    policy: EgressPolicy,
    *,
    timeout: float = 10.0,
    max_bytes: int = MAX_RESPONSE_BYTES,
    resolve: Resolve = system_resolve,
    verify: ssl.SSLContext | bool = True,
) -> httpx.Client:
    """:func:`egress_client` for blocking callers."""
    guard = EgressGuard(policy, resolve)
    transport = PinnedTransport(guard, timeout=timeout, max_bytes=max_bytes, verify=verify)
    return httpx.Client(transport=transport, timeout=timeout, trust_env=False)


class AsyncPinnedTransport(httpx.AsyncBaseTransport):
    """Sends each request to an address that the guard has just passed."""

    def __init__(
        self,
        guard: EgressGuard,
        *,
        timeout: float,
        max_bytes: int = MAX_RESPONSE_BYTES,
        verify: ssl.SSLContext | bool = True,
    ) -> None:
        self._guard, self._timeout, self._max_bytes = guard, timeout, max_bytes
        self._inner = httpx.AsyncHTTPTransport(verify=verify, trust_env=False, limits=_NO_REUSE)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        deadline = time.monotonic() + self._timeout
        try:
            async with asyncio.timeout(self._timeout):
                addresses = await self._guard.check_async(*_destination(request))
                response = await self._first(request, addresses)
        except TimeoutError:
            raise httpx.ReadTimeout("The server took too long.", request=request) from None
        except OSError:
            raise httpx.ConnectError("The host has no address.", request=request) from None
        assert isinstance(response.stream, httpx.AsyncByteStream)
        response.stream = _AsyncLimited(response.stream, _Limit(self._max_bytes, deadline))
        return _undecoded(response)

    async def _first(self, request: httpx.Request, addresses: tuple[str, ...]) -> httpx.Response:
        for address in addresses[:-1]:
            try:
                return await self._inner.handle_async_request(_pinned(request, address))
            except httpx.ConnectError:
                continue
        return await self._inner.handle_async_request(_pinned(request, addresses[-1]))

    async def aclose(self) -> None:
        await self._inner.aclose()


class PinnedTransport(httpx.BaseTransport):
    """:class:`AsyncPinnedTransport` for blocking clients; here ``timeout`` is also per read."""

    def __init__(
        self,
        guard: EgressGuard,
        *,
        timeout: float,
        max_bytes: int = MAX_RESPONSE_BYTES,
        verify: ssl.SSLContext | bool = True,
    ) -> None:
        self._guard, self._timeout, self._max_bytes = guard, timeout, max_bytes
        self._inner = httpx.HTTPTransport(verify=verify, trust_env=False, limits=_NO_REUSE)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        deadline = time.monotonic() + self._timeout
        try:
            addresses = self._guard.check(*_destination(request))
        except OSError:
            raise httpx.ConnectError("The host has no address.", request=request) from None
        response = self._first(request, addresses)
        assert isinstance(response.stream, httpx.SyncByteStream)
        response.stream = _Limited(response.stream, _Limit(self._max_bytes, deadline))
        return _undecoded(response)

    def _first(self, request: httpx.Request, addresses: tuple[str, ...]) -> httpx.Response:
        for address in addresses[:-1]:
            try:
                return self._inner.handle_request(_pinned(request, address))
            except httpx.ConnectError:
                continue
        return self._inner.handle_request(_pinned(request, addresses[-1]))

    def close(self) -> None:
        self._inner.close()


def _destination(request: httpx.Request) -> tuple[str, int]:
    url = request.url
    if url.scheme not in _PORTS or url.userinfo:
        raise EgressRefused(
            "Only plain http and https URLs are called.",
            code="url_refused",
            hint="Start the URL with https:// and leave out user names and passwords.",
        )
    return _host(request), url.port or _PORTS[url.scheme]


def _host(request: httpx.Request) -> str:
    """In ASCII, as it was looked up, and as a certificate has it."""
    return canonical_host(request.url.raw_host.decode("ascii"))


def _pinned(request: httpx.Request, address: str) -> httpx.Request:
    """``request`` to ``address``. The Host header is already the name's, and so is the TLS name."""
    return httpx.Request(
        request.method,
        request.url.copy_with(host=address),
        headers=request.headers,
        stream=request.stream,
        extensions={**request.extensions, "sni_hostname": _host(request)},
    )


def _undecoded(response: httpx.Response) -> httpx.Response:
    """Bytes as they came: a small compressed body may be an enormous one."""
    response.headers.pop("Content-Encoding", None)
    return response


class _Limit:
    def __init__(self, max_bytes: int, deadline: float) -> None:
        self._left, self._deadline = max_bytes, deadline

    def passed(self, chunk: bytes) -> bytes:
        self._left -= len(chunk)
        if self._left < 0:
            raise EgressRefused("The answer is too long.", code="response_too_large")
        if time.monotonic() > self._deadline:
            raise httpx.ReadTimeout("The server took too long.")
        return chunk


class _AsyncLimited(httpx.AsyncByteStream):
    def __init__(self, stream: httpx.AsyncByteStream, limit: _Limit) -> None:
        self._stream, self._limit = stream, limit

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._stream:
            yield self._limit.passed(chunk)

    async def aclose(self) -> None:
        await self._stream.aclose()


class _Limited(httpx.SyncByteStream):
    def __init__(self, stream: httpx.SyncByteStream, limit: _Limit) -> None:
        self._stream, self._limit = stream, limit

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._stream:
            yield self._limit.passed(chunk)

    def close(self) -> None:
        self._stream.close()
