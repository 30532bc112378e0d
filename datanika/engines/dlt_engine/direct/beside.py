"""One question to the destination, asked while rows are on their way."""

from __future__ import annotations

import threading
from collections.abc import Callable


class Beside[T]:
    """``ask`` begins at once, in a thread; :meth:`answer` waits for it."""

    def __init__(self, ask: Callable[[], T]) -> None:
        self._found: list[T] = []
        self._failed: BaseException | None = None
        self._ask = ask
        self._thread = threading.Thread(target=self._work, name="beside", daemon=True)
        self._thread.start()

    def answer(self) -> T:
        """What it found; raises what it raised."""
        self._thread.join()
        if self._failed is not None:
            raise self._failed
        return self._found[0]

    def close(self) -> None:
        """Wait for its end, whatever it is."""
        self._thread.join()

    def _work(self) -> None:
        try:
            self._found.append(self._ask())
        except BaseException as error:
            self._failed = error
