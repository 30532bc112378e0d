"""What an import has to say, while it reads."""

from __future__ import annotations

from typing import Literal

from datanika.contracts.api.projects import ImportFinding


class Findings:
    """Collects; the order is that of the reading."""

    def __init__(self) -> None:
        self.all: list[ImportFinding] = []

    def refused(
        self, code: str, path: str, message: str, line: int | None = None, name: str | None = None
    ) -> None:
        self._add("refused", code, path, message, line, name)

    def changed(
        self, code: str, path: str, message: str, line: int | None = None, name: str | None = None
    ) -> None:
        self._add("changed", code, path, message, line, name)

    def _add(
        self,
        level: Literal["changed", "refused"],
        code: str,
        path: str,
        message: str,
        line: int | None,
        name: str | None,
    ) -> None:
        self.all.append(
            ImportFinding(
                level=level, code=code, path=path, line=line, name=name, message=message[:2000]
            )
        )
