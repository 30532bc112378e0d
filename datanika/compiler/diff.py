"""What changed between two versions of a transformation, as unified diffs."""

from __future__ import annotations

import difflib

import yaml

from datanika.contracts.api.transformations import ChangedField, TransformationDiff
from datanika.contracts.spec import TransformationSpec


def diff_specs(
    old: TransformationSpec, new: TransformationSpec, from_version: int, to_version: int
) -> TransformationDiff:
    """Of the code, and of everything said about it: the latter as YAML without defaults."""
    labels = f"{new.name} version {from_version}", f"{new.name} version {to_version}"
    before, after = (one.model_dump(mode="json", exclude={"sql"}) for one in (old, new))
    shown = [
        yaml.safe_dump(
            one.model_dump(mode="json", exclude={"sql"}, exclude_defaults=True),
            sort_keys=False,
            allow_unicode=True,
            width=1000,
        )
        for one in (old, new)
    ]
    code = unified(old.sql, new.sql, *labels)
    return TransformationDiff(
        from_version=from_version,
        to_version=to_version,
        is_same=old == new,
        code=code,
        metadata=unified(shown[0], shown[1], *labels),
        added_lines=_count(code, "+"),
        removed_lines=_count(code, "-"),
        fields=[
            ChangedField(name=name, before=before[name], after=after[name])
            for name in after
            if before[name] != after[name]
        ],
    )


def unified(old: str, new: str, from_name: str, to_name: str) -> str:
    """As ``diff -u`` writes it; empty where both are the same."""
    lines = difflib.unified_diff(_lines(old), _lines(new), fromfile=from_name, tofile=to_name, n=3)
    return "".join(lines)


def _lines(text: str) -> list[str]:
    lines = text.splitlines(keepends=True)
    if lines and not lines[-1].endswith("\n"):
        lines[-1] += "\n\\ No newline at end of file\n"
    return lines


def _count(diff: str, sign: str) -> int:
    # The first two lines name the versions; a comment of SQL may look like them.
    return sum(line.startswith(sign) for line in diff.splitlines()[2:])
