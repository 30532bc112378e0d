"""dlt imported while servers work: in a cold process that takes a second."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module


@contextmanager
def dlt_beside(wanted: bool) -> Iterator[None]:
    """Import dlt in a thread while the block runs, to its end.

    The block must import nothing of dlt: of two threads that import the same packages one sees them
    half made, and a package that broke while it was imported is broken for the process's life.
    """
    if not wanted:
        yield
        return
    importing = threading.Thread(target=import_module, args=["dlt"], name="import", daemon=True)
    importing.start()
    try:
        yield
    finally:
        importing.join()
