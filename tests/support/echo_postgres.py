"""A server that speaks just enough of PostgreSQL's protocol to be told a password, and tells it."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Says = Callable[[str], str]


@contextmanager
def echo_postgres(says: Says) -> Iterator[int]:
    """Its port on 127.0.0.1. It asks for the password in the clear and answers with an error whose
    message is ``says(password)``."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    with connection, contextlib.suppress(OSError, struct.error):
                        _talk(connection, says)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
    thread.join()


def _talk(connection: socket.socket, says: Says) -> None:
    _read(connection, struct.unpack("!I", _read(connection, 4))[0] - 4)
    connection.sendall(b"R" + struct.pack("!II", 8, 3))
    assert _read(connection, 1) == b"p"
    password = _read(connection, struct.unpack("!I", _read(connection, 4))[0] - 4)
    text = says(password.rstrip(b"\0").decode())
    body = b"SFATAL\0VFATAL\0C28P01\0M" + text.encode() + b"\0\0"
    connection.sendall(b"E" + struct.pack("!I", len(body) + 4) + body)


def _read(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        chunk = connection.recv(size - len(data))
        if not chunk:
            raise OSError("gone")
        data += chunk
    return data
