"""Commands for operators: they work in the control plane's database, not through the API."""

from __future__ import annotations

from collections.abc import Awaitable, Callable


def in_database[T](work: Callable[[], Awaitable[T]]) -> T:
    """Run ``work`` in an event loop of its own, say what went wrong, and close the connections."""
    import asyncio

    from datanika.cli.failure import explain_errors
    from datanika.db import dispose_engine

    async def run() -> T:
        try:
            return await work()
        finally:
            await dispose_engine()

    with explain_errors():
        return asyncio.run(run())
