"""So many requests a minute for each credential, and for each address of those without one.

A token bucket per caller in this process' memory: exactly one process serves (see ``ui/serve.py``),
and a bucket that a restart forgets does no harm. What must not be forgotten, failed logins, is
counted in PostgreSQL (``services/throttle.py``).
"""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from dataclasses import dataclass

from datanika.errors import TooManyRequests

CALLERS = 50_000
"""Buckets kept; the ones longest unused are forgotten first."""


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at: float


class RateLimiter:
    """``per_minute`` requests for each caller, refilled continuously."""

    def __init__(self, per_minute: int) -> None:
        self.per_minute = per_minute
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def take(self, caller: str, now: float | None = None) -> dict[str, str]:
        """The headers that say what is left. Raises :class:`TooManyRequests` when nothing is.

        Header names: draft-ietf-httpapi-ratelimit-headers-07's older, widely read form.
        """
        now = time.monotonic() if now is None else now
        bucket = self._buckets.get(caller)
        if bucket is None:
            bucket = self._buckets[caller] = _Bucket(float(self.per_minute), now)
            if len(self._buckets) > CALLERS:
                self._buckets.popitem(last=False)
        else:
            self._buckets.move_to_end(caller)
        refilled = bucket.tokens + (now - bucket.at) * self.per_minute / 60
        bucket.tokens, bucket.at = min(float(self.per_minute), refilled), now
        allowed = bucket.tokens >= 1
        if allowed:
            bucket.tokens -= 1
        headers = {
            "RateLimit-Limit": str(self.per_minute),
            "RateLimit-Remaining": str(int(bucket.tokens)),
            "RateLimit-Reset": str(self._seconds_to(self.per_minute, bucket)),
        }
        if not allowed:
            wait = max(1, self._seconds_to(1, bucket))
            raise TooManyRequests(
                f"More than {self.per_minute} requests a minute.",
                hint=f"Wait {wait} s; the headers RateLimit-* say how much is left.",
                retry_after=wait,
                headers=headers,
            )
        return headers

    def _seconds_to(self, tokens: int, bucket: _Bucket) -> int:
        return math.ceil(max(0.0, tokens - bucket.tokens) * 60 / self.per_minute)
