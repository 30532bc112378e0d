"""Which of the imported transformations may stay: the guard's word, with file and line."""

from __future__ import annotations

from collections.abc import Iterable

from datanika.compiler.importing.findings import Findings
from datanika.compiler.importing.reader import Imported
from datanika.compiler.project import compile_models
from datanika.compiler.properties import check_destination
from datanika.contracts.spec import TransformationSpec
from datanika.errors import InvalidInput

MAX_REFUSED = 100


def keep_what_holds(
    imported: Iterable[Imported],
    existing: Iterable[TransformationSpec],
    destination_kind: str,
    found: Findings,
) -> list[Imported]:
    """Those that compile together with what is there; the others are refused in ``found``.

    What reads something refused is refused too. Raises :class:`InvalidInput`
    ``too_many_refused``.
    """
    kept = {item.spec.name: item for item in imported}
    others = {spec.name: spec for spec in existing if spec.name not in kept}
    for _ in range(MAX_REFUSED):
        specs = {**others, **{name: item.spec for name, item in kept.items()}}
        try:
            compile_models([specs[name] for name in sorted(specs)])
            for spec in specs.values():
                check_destination(spec, destination_kind)
            return list(kept.values())
        except InvalidInput as error:
            name = (error.field or "").removeprefix("transformations.").split(".")[0]
            if name not in kept:
                raise
            item = kept.pop(name)
            line = error.context.get("line")
            found.refused(
                error.code,
                item.path,
                f"{name}: {error.message}",
                item.line + int(line) - 1 if line and ".sql" in str(error.field) else item.line,
                name,
            )
    raise InvalidInput(
        f"More than {MAX_REFUSED} parts of the project are refused.",
        code="too_many_refused",
        field="body",
        hint="Import a part of it.",
    )
