"""How far a COPY is, told by its server while it runs (``pg_stat_progress_copy``, since version
14): the session that carries it can say nothing before its end."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

from datanika.engines.emit import PROGRESS_SECONDS, RowCounter
from datanika.engines.warehouse import Warehouse


@contextlib.contextmanager
def watched(warehouse: Warehouse, pid: int, counter: RowCounter) -> Iterator[None]:
    """Report the rows that session ``pid`` has copied so far, while the block runs.

    ``warehouse``'s own session asks, so the block must not use it. A server that does not answer
    is asked no more: the load itself tells what is wrong.
    """
    done = threading.Event()

    def watch() -> None:
        query = "SELECT tuples_processed FROM pg_stat_progress_copy WHERE pid = %s"
        with contextlib.suppress(Exception):
            while not done.wait(PROGRESS_SECONDS):
                for (rows,) in warehouse.query(query, [pid]):
                    counter.at(int(rows))

    watching = threading.Thread(target=watch, name="progress", daemon=True)
    watching.start()
    try:
        yield
    finally:
        done.set()
        watching.join()
