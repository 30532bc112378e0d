"""Local paths of a connection: always below the organisation's folder, whatever they say."""

from __future__ import annotations

from pathlib import Path

from datanika.contracts.steps import ResolvedConnection
from datanika.errors import TerminalStepError


def inside(connection: ResolvedConnection, *parts: str) -> Path:
    """``parts`` below the organisation's folder, links followed.

    Raises :class:`TerminalStepError` for a path that leads out of the first part's folder.
    """
    if connection.root is None:
        raise TerminalStepError(
            f"Connection {connection.name!r} has no folder on this worker.",
            code="connection_root_missing",
        )
    top = (Path(connection.root) / parts[0]).resolve()
    path = top.joinpath(*parts[1:]).resolve()
    if not path.is_relative_to(top):
        raise TerminalStepError(
            f"{'/'.join(parts[1:])!r} leads out of the organisation's {parts[0]} folder.",
            code="path_outside",
            hint="Use a path below that folder, without '..' and without links out of it.",
        )
    return path
