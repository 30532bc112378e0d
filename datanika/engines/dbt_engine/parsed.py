"""The parsed project of an invocation: as an earlier one left it, or by dbt's parse.

An entry is dbt's own ``partial_parse.msgpack``. Of the very same project it is the manifest; of an
earlier version dbt parses on from it, and decides itself what that needs. Reading one builds
dataclasses and runs no code; still only an engine child ever reads one.
"""

from __future__ import annotations

import contextlib
import gc
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datanika.contracts.steps import ResolvedTransform

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class KnownParse:
    """``entry``: what an earlier parse left; empty: nothing did. ``exact``: it was one of the very
    same project. ``keep`` takes what this parse leaves."""

    entry: bytes = b""
    exact: bool = False
    keep: Callable[[bytes], None] | None = None


def parse_project(
    step: ResolvedTransform, folder: Path, arguments: Sequence[str], known: KnownParse
) -> tuple[Any, BaseException | None]:
    """(dbt's manifest, why there is none) of the project in ``folder``.

    ``arguments``: of dbt, without how to parse.
    """
    from dbt.cli.main import dbtRunner

    if known.exact:
        manifest = read_entry(known.entry, step)
        if manifest is not None:
            return _moved(manifest, folder), None
    left = folder / "target" / "partial_parse.msgpack"
    if known.entry and not known.exact:
        left.parent.mkdir(parents=True, exist_ok=True)
        left.write_bytes(known.entry)
        parsed = dbtRunner().invoke(["--partial-parse", *arguments])
        if parsed.success:
            return _moved(_kept(parsed.result, left, known), folder), None
        # Whether it is the project's fault, a parse without help tells.
        left.unlink(missing_ok=True)
    parsed = dbtRunner().invoke(["--no-partial-parse", *arguments])
    if not parsed.success:
        return None, parsed.exception or RuntimeError("dbt could not parse the project.")
    return _kept(parsed.result, left, known), None


def _kept(manifest: Any, left: Path, known: KnownParse) -> Any:
    if known.keep is not None:
        with contextlib.suppress(OSError):
            known.keep(left.read_bytes())
    return manifest


def _moved(manifest: Any, folder: Path) -> Any:
    """``manifest`` with its seeds where the project is now: dbt keeps the folder of their files."""
    for node in manifest.nodes.values():
        if getattr(node, "root_path", None):
            is_own = node.package_name == manifest.metadata.project_name
            root = folder if is_own else folder / "dbt_packages" / node.package_name
            node.root_path = str(root)
    return manifest


def read_entry(entry: bytes, step: ResolvedTransform) -> Any:
    """The manifest in ``entry``; None where it is none, or another project's."""
    from dbt.contracts.graph.manifest import Manifest
    from dbt.parser.manifest import extended_mashumuro_decoder
    from dbt.version import __version__

    try:
        with without_collecting():
            manifest = Manifest.from_msgpack(entry, decoder=extended_mashumuro_decoder)
            found = (manifest.metadata.project_name, manifest.metadata.dbt_version)
            if found != (step.project_name, __version__):
                raise ValueError("another project")
            manifest.build_flat_graph()
    except Exception as error:
        logger.warning("A kept parse was unusable (%s): parsing.", type(error).__name__)
        return None
    return manifest


@contextlib.contextmanager
def without_collecting() -> Iterator[None]:
    """Tens of thousands of objects at once, all of them wanted: looking through them for garbage
    again and again takes five times as long as making them."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()
