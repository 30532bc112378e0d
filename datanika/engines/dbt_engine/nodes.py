"""dbt's events as the platform's: one start and one end per model, test, seed and snapshot."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from datanika.contracts.enums import LogLevel, StepState
from datanika.contracts.events import ColumnInfo, Failure, NodeFinished, NodeStarted
from datanika.engines.dbt_engine.columns import ColumnReader
from datanika.engines.dbt_engine.docs import ManifestDocs
from datanika.engines.emit import Emit, log
from datanika.engines.failures import explain_text

RESOURCE_TYPES = ("model", "test", "seed", "snapshot", "unit_test", "source")

_STATES = {
    "success": StepState.SUCCEEDED,
    "pass": StepState.SUCCEEDED,
    "no-op": StepState.SUCCEEDED,
    "warn": StepState.WARNED,
    "partial success": StepState.FAILED,
    "error": StepState.FAILED,
    "fail": StepState.FAILED,
    "runtime error": StepState.FAILED,
    "skipped": StepState.SKIPPED,
}
_LEVELS = {"info": LogLevel.INFO, "warn": LogLevel.WARNING, "error": LogLevel.ERROR}


class NodeEvents:
    """Follows one invocation. dbt calls :meth:`follow` from its threads."""

    def __init__(
        self,
        step_key: str,
        emit: Emit,
        manifest: Any,
        folder: Path,
        columns: ColumnReader,
        *,
        builds: bool = True,
    ) -> None:
        """``builds`` is false for a command that leaves the destination as it is."""
        self._builds = builds
        self._step_key, self._emit, self._columns = step_key, emit, columns
        self._nodes: dict[str, Any] = {**manifest.nodes, **manifest.unit_tests, **manifest.sources}
        self._sources: dict[str, Any] = manifest.sources
        self._docs = ManifestDocs(manifest)
        self._folder = folder
        self._lock = threading.Lock()
        self._finished: dict[str, NodeFinished] = {}
        self.rows = 0

    def follow(self, message: Any) -> None:
        """One event of dbt. Thousands are nobody's, so only what is shared is locked."""
        name = message.info.name
        if name == "NodeStart":
            self._start(message.data.node_info.unique_id)
        elif name == "NodeFinished":
            result = message.data.run_result
            if self._is_source(message.data.node_info.unique_id):
                # How fresh it is comes with the answer only.
                return
            self._end(
                message.data.node_info.unique_id,
                str(result.status),
                str(result.message),
                float(result.execution_time),
                dict(result.adapter_response),
                int(result.num_failures),
            )
        elif (level := _LEVELS.get(str(message.info.level))) and message.info.msg.strip():
            node = _node_of(message)
            log(self._emit, self._step_key, message.info.msg.strip(), level, node)

    def finish(self, results: Iterable[Any]) -> None:
        """What dbt told only at the end: nodes that it skipped."""
        for result in results:
            if result.node.unique_id not in self._finished:
                self._end(
                    result.node.unique_id,
                    str(result.status),
                    str(result.message or ""),
                    float(result.execution_time),
                    dict(result.adapter_response or {}),
                    int(result.failures or 0),
                    _freshness(result),
                )

    def catalog(self, unique_id: str, columns: tuple[ColumnInfo, ...]) -> None:
        """A relation that is there, with what the manifest says of it; nothing built it now."""
        node = self._nodes[unique_id]
        known = self._read_columns(node, getattr(node, "identifier", None)) or columns
        is_source = str(node.resource_type) == "source"
        event = NodeFinished(
            step_key=self._step_key,
            node=unique_id,
            name=str(node.name),
            resource_type=_resource_type(node),
            state=StepState.SUCCEEDED,
            relation=f"{node.schema}.{node.identifier}" if is_source else _relation(node),
            columns=known,
            depends_on=self._depends_on(node),
            docs=self._docs.of(node),
            details={"status": "documented", "path": str(node.original_file_path)},
        )
        self._finished[unique_id] = event
        self._emit(event)

    def skip(self, unique_id: str, failure: Failure, details: dict[str, Any]) -> None:
        """A node of the selection that this run does not build, and why."""
        node = self._nodes[unique_id]
        event = NodeFinished(
            step_key=self._step_key,
            node=unique_id,
            name=str(node.name),
            resource_type=_resource_type(node),
            state=StepState.SKIPPED,
            depends_on=self._depends_on(node),
            failure=failure,
            details={"status": "blocked", "message": failure.message, **details},
        )
        self._finished[unique_id] = event
        self._emit(event)

    def finished(self) -> list[NodeFinished]:
        """Every node's end, in the order in which they came."""
        return list(self._finished.values())

    def failure(self) -> Failure | None:
        """Why the step failed, if it did: a model before its tests."""
        failed = [e for e in self._finished.values() if e.state is StepState.FAILED]
        if not failed:
            return None
        others = [e for e in failed if e.resource_type != "test" and not _is_stale(e)]
        if others:
            first = others[0]
            more = f" ({len(others) - 1} more failed.)" if len(others) > 1 else ""
            reason = first.failure or Failure(code="dbt_model_failed", message="It failed.")
            return reason.model_copy(
                update={"message": f"{first.resource_type} {first.name}: {reason.message}{more}"}
            )
        stale = [event for event in failed if event.resource_type == "source"]
        if stale:
            return Failure(
                code="dbt_source_stale",
                message=f"{len(stale)} source(s) are older than they may be: "
                f"{', '.join(event.name for event in stale)}.",
                hint="Load them again, or allow a greater age.",
            )
        names = ", ".join(event.name for event in failed)
        return Failure(
            code="dbt_tests_failed",
            message=f"{len(failed)} test(s) failed: {names}.",
            hint="Look at the rows that the compiled SQL of the test selects.",
        )

    def _start(self, unique_id: str) -> None:
        node = self._nodes.get(unique_id)
        if node is None or str(node.resource_type) not in RESOURCE_TYPES:
            return
        self._emit(
            NodeStarted(
                step_key=self._step_key,
                node=unique_id,
                name=str(node.name),
                resource_type=_resource_type(node),
                depends_on=self._depends_on(node),
            )
        )

    def _end(
        self,
        unique_id: str,
        status: str,
        message: str,
        seconds: float,
        response: dict[str, Any],
        failures: int,
        freshness: dict[str, Any] | None = None,
    ) -> None:
        node = self._nodes.get(unique_id)
        if node is None or str(node.resource_type) not in RESOURCE_TYPES:
            return
        state = _STATES.get(status, StepState.FAILED)
        kind = _resource_type(node)
        is_test = kind == "test"
        rows = None if is_test else _rows(response)
        relation = None if is_test or not self._builds else _relation(node)
        event = NodeFinished(
            step_key=self._step_key,
            node=unique_id,
            name=str(node.name),
            resource_type=kind,
            state=state,
            duration_seconds=round(seconds, 3),
            rows=rows,
            relation=relation,
            columns=self._read_columns(node) if relation and state in _BUILT else (),
            depends_on=self._depends_on(node),
            failure=_failure(node, status, message) if state is StepState.FAILED else None,
            docs=self._docs.of(node) if relation and state in _BUILT else None,
            checked=self._docs.checked(node) if kind in ("test", "source") else (),
            details={
                "status": status,
                "message": message,
                "materialization": str(getattr(node.config, "materialized", "") or ""),
                "compiled_sql": self._compiled(node),
                "failures": failures if is_test else None,
                "column": getattr(node, "column_name", None) if is_test else None,
                **(freshness or {}),
                "path": str(node.original_file_path),
            },
        )
        with self._lock:
            self._finished[unique_id] = event
            self.rows += rows or 0
        self._emit(event)

    def _depends_on(self, node: Any) -> tuple[str, ...]:
        """Unique ids of dbt nodes, ``schema.table`` of sources: as loads name their tables."""
        found = []
        for unique_id in getattr(getattr(node, "depends_on", None), "nodes", ()):
            source = self._sources.get(unique_id)
            found.append(f"{source.schema}.{source.identifier}" if source else unique_id)
        return tuple(found)

    def _is_source(self, unique_id: str) -> bool:
        return unique_id in self._sources

    def _read_columns(self, node: Any, name: str | None = None) -> tuple[ColumnInfo, ...]:
        if str(getattr(node.config, "materialized", "")) == "ephemeral":
            return ()
        try:
            return self._columns.read(str(node.schema), str(name or node.alias))
        except Exception as error:
            reason = f"The columns of {node.name} could not be read ({type(error).__name__})."
            log(self._emit, self._step_key, reason, LogLevel.WARNING, node.unique_id)
            return ()

    def _compiled(self, node: Any) -> str | None:
        if getattr(node, "compiled_code", None):
            return str(node.compiled_code)
        path = getattr(node, "compiled_path", None) or _compiled_path(node)
        with contextlib.suppress(OSError):
            return (self._folder / path).read_text("utf-8")
        return None


def _freshness(result: Any) -> dict[str, Any] | None:
    at = getattr(result, "max_loaded_at", None)
    if at is None:
        return None
    return {"max_loaded_at": at.isoformat(), "age_seconds": round(float(result.age), 3)}


def _is_stale(event: NodeFinished) -> bool:
    return event.resource_type == "source" and event.details.get("status") == "error"


_BUILT = (StepState.SUCCEEDED, StepState.WARNED)


def _resource_type(node: Any) -> str:
    kind = str(node.resource_type)
    return "test" if kind == "unit_test" else kind


def _compiled_path(node: Any) -> str:
    name = str(node.original_file_path)
    if str(node.resource_type) == "test" and name.endswith((".yml", ".yaml")):
        name = f"{name}/{node.path}"
    return f"target/compiled/{node.package_name}/{name}"


def _relation(node: Any) -> str | None:
    if str(getattr(node.config, "materialized", "")) == "ephemeral":
        return None
    return f"{node.schema}.{node.alias}"


def _rows(response: dict[str, Any]) -> int | None:
    value = response.get("rows_affected")
    try:
        rows = int(float(str(value)))
    except (TypeError, ValueError):
        return None
    return rows if rows >= 0 else None


def _failure(node: Any, status: str, message: str) -> Failure:
    if status == "error" and str(node.resource_type) == "source":
        return Failure(
            code="dbt_source_stale",
            message=f"{node.schema}.{node.identifier} is older than it may be.",
            hint="Load it again, or allow a greater age.",
        )
    if status == "fail":
        return Failure(
            code="dbt_test_failed",
            message=message or f"Test {node.name} failed.",
            hint="Look at the rows that its compiled SQL selects.",
        )
    known = explain_text(message)
    if known is not None:
        return known
    return Failure(
        code="dbt_test_failed" if _resource_type(node) == "test" else "dbt_model_failed",
        message=" ".join(message.split()) or f"{node.name} failed.",
        hint="Correct its SQL.",
    )


def _node_of(message: Any) -> str | None:
    info = getattr(message.data, "node_info", None)
    return str(info.unique_id) or None if info is not None else None
