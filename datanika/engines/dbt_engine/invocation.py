"""How dbt is called in this process, and what it means when it does not read the project."""

from __future__ import annotations

from datanika.contracts.events import Failure
from datanika.contracts.steps import ResolvedTransform
from datanika.engines.failures import explain_text

# Everything that could reach out, phone home, or write beyond the work folder is off.
FLAGS = (
    "--no-send-anonymous-usage-stats",
    "--no-version-check",
    "--no-use-colors",
    "--no-use-colors-file",
    "--log-level",
    "none",
    "--log-level-file",
    "none",
)
# What follows a run goes by its events; the files that dbt writes of it would be read by nobody.
WITHOUT_ARTIFACTS = "--no-write-json"


def flags_of(step: ResolvedTransform) -> list[str]:
    """The flags of a step's own command."""
    flags = [*FLAGS, WITHOUT_ARTIFACTS]
    return [*flags, "--fail-fast"] if step.step.fail_fast else flags


def prepare_dbt() -> None:
    """Locks of dbt's threads, without the helper process that Python's "spawn" starts for them.

    Call it before anything of dbt is imported: dbt's classes keep the context they found.
    """
    import multiprocessing

    from dbt import mp_context

    mp_context._MP_CONTEXT = multiprocessing.get_context("fork")


def compile_failure(error: BaseException | None) -> Failure:
    """Why dbt could not read the project."""
    if error is None:
        return Failure(code="dbt_failed", message="dbt stopped without saying why.")
    known = explain_text(str(error))
    if known is not None and known.code in _OF_THE_CONNECTION:
        return known
    message = " ".join(str(error).split())
    return Failure(
        code="dbt_compile_failed",
        message=f"The project does not compile: {message}",
        hint="Correct the transformation that the message names.",
    )


_OF_THE_CONNECTION = frozenset(
    {
        "authentication_failed",
        "host_unreachable",
        "connection_lost",
        "database_missing",
        "server_busy",
        "destination_busy",
        "disk_full",
        "out_of_memory",
    }
)
