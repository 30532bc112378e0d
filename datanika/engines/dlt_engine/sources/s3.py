"""Objects of an S3-compatible store, with the requests signed here (AWS Signature Version 4).

https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html. An SDK would resolve
and connect on its own; two calls are all that is needed.
"""

from __future__ import annotations

import datetime as dt
import fnmatch
import hashlib
import hmac
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit
from xml.etree import ElementTree

from datanika.contracts.egress import EgressPolicy
from datanika.egress.guard import EgressGuard
from datanika.errors import TerminalStepError, TransientStepError

_EMPTY = hashlib.sha256(b"").hexdigest()
_CHUNK = 1 << 20
TIMEOUT_SECONDS = 60
# https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
_LOGIN = frozenset({"InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken"})


@dataclass(frozen=True)
class Keys:
    access_key_id: str
    secret_access_key: str
    region: str


@dataclass(frozen=True)
class S3Object:
    key: str
    size: int


class S3Bucket:
    """One bucket, path style. Close it."""

    def __init__(self, endpoint: str, bucket: str, keys: Keys | None, egress: EgressPolicy) -> None:
        from datanika.engines.dlt_engine.sources.pinned_session import pinned_session

        self._endpoint, self._bucket, self._keys = endpoint.rstrip("/"), bucket, keys
        self._session = pinned_session(endpoint, EgressGuard(egress))

    def __enter__(self) -> S3Bucket:
        return self

    def __exit__(self, *_: object) -> None:
        self._session.close()

    def list(self, prefix: str = "") -> Iterator[S3Object]:
        """Every object under ``prefix``, sorted by key as S3 does."""
        token: str | None = None
        while True:
            query = {"list-type": "2", "prefix": prefix}
            if token:
                query["continuation-token"] = token
            with self._get("", query) as response:
                tree = ElementTree.fromstring(response.content)
            for item in _all(tree, "Contents"):
                yield S3Object(_one(item, "Key") or "", int(_one(item, "Size") or 0))
            token = _one(tree, "NextContinuationToken")
            if not token:
                return

    def matching(self, pattern: str) -> Iterator[S3Object]:
        """Objects whose key is ``pattern``, in which * and ? stay within one folder."""
        fixed = pattern
        for letter in "*?[":
            fixed = fixed.partition(letter)[0]
        for item in self.list(fixed):
            here, wanted = item.key.split("/"), pattern.split("/")
            if len(here) == len(wanted) and all(
                part == one or fnmatch.fnmatchcase(part, one)
                for part, one in zip(here, wanted, strict=True)
            ):
                yield item

    def fetch(self, item: S3Object, path: Path) -> None:
        """Write it to ``path``; raises when it is not as long as the list said."""
        size = 0
        with self._get(item.key, {}) as response, path.open("wb") as file:
            for chunk in response.iter_content(_CHUNK):
                size += len(chunk)
                file.write(chunk)
        if size != item.size:
            raise TransientStepError(
                f"{item.key!r} changed or broke off while it was read ({size} of {item.size} "
                "bytes).",
                code="connection_lost",
                hint="Run it again.",
            )

    def _get(self, key: str, query: dict[str, str]) -> Any:
        path = quote(f"/{self._bucket}" + (f"/{key}" if key else ""), safe="/-_.~")
        told = "&".join(
            f"{quote(name, safe='-_.~')}={quote(value, safe='-_.~')}"
            for name, value in sorted(query.items())
        )
        parts = urlsplit(self._endpoint)
        path = parts.path.rstrip("/") + path
        headers = signed(parts.netloc, path, told, self._keys, dt.datetime.now(dt.UTC))
        url = f"{parts.scheme}://{parts.netloc}{path}" + (f"?{told}" if told else "")
        # Compressed on the way, it would not be as long as the list says.
        headers["Accept-Encoding"] = "identity"
        response = self._session.get(
            url, headers=headers, stream=bool(key), timeout=TIMEOUT_SECONDS
        )
        if response.status_code >= 400:
            _refuse(response)
        return response


def signed(host: str, path: str, query: str, keys: Keys | None, now: dt.datetime) -> dict[str, str]:
    """Headers of a GET without a body; without ``keys`` nobody logs in (a public bucket)."""
    if keys is None:
        return {}
    stamp, day = now.strftime("%Y%m%dT%H%M%SZ"), now.strftime("%Y%m%d")
    names = "host;x-amz-content-sha256;x-amz-date"
    told = f"host:{host}\nx-amz-content-sha256:{_EMPTY}\nx-amz-date:{stamp}\n"
    canonical = f"GET\n{path}\n{query}\n{told}\n{names}\n{_EMPTY}"
    scope = f"{day}/{keys.region}/s3/aws4_request"
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    text = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{digest}"
    key = f"AWS4{keys.secret_access_key}".encode()
    for part in (day, keys.region, "s3", "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    signature = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
    return {
        "x-amz-date": stamp,
        "x-amz-content-sha256": _EMPTY,
        "Authorization": f"AWS4-HMAC-SHA256 Credential={keys.access_key_id}/{scope}, "
        f"SignedHeaders={names}, Signature={signature}",
    }


def _refuse(response: Any) -> None:
    try:
        code = _one(ElementTree.fromstring(response.content), "Code") or ""
    except ElementTree.ParseError:
        code = ""
    detail = code or f"HTTP {response.status_code}"
    if code in _LOGIN:
        raise TerminalStepError(
            f"The store refused the keys ({detail}).",
            code="authentication_failed",
            hint="Correct the connection's access key and secret.",
        )
    if code == "NoSuchBucket":
        raise TerminalStepError(
            "There is no such bucket.", code="bucket_missing", hint="Correct the connection's."
        )
    if response.status_code == 403:
        raise TerminalStepError(
            f"The keys may not read this ({detail}).",
            code="permission_denied",
            hint="Grant them s3:ListBucket on the bucket and s3:GetObject on its objects.",
        )
    if response.status_code in (429, 503) or response.status_code >= 500:
        raise TransientStepError(f"The store answered {detail}.", code="server_busy")
    raise TerminalStepError(f"The store answered {detail}.", code=f"http_{response.status_code}")


def _all(tree: ElementTree.Element, name: str) -> list[ElementTree.Element]:
    # Some stores leave the namespace out.
    return [one for one in tree if one.tag.rpartition("}")[2] == name]


def _one(tree: ElementTree.Element, name: str) -> str | None:
    found = _all(tree, name)
    return found[0].text if found else None
