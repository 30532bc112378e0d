"""The closed vocabularies of the platform."""

from __future__ import annotations

from enum import StrEnum


class Role(StrEnum):
    """A member's role. Compare with :meth:`covers`, never by name."""

    OWNER = "owner"
    ADMIN = "admin"
    EDITOR = "editor"
    VIEWER = "viewer"

    @property
    def rank(self) -> int:
        """Higher means more power."""
        return {"viewer": 1, "editor": 2, "admin": 3, "owner": 4}[self.value]

    def covers(self, needed: Role) -> bool:
        """Whether this role may do what ``needed`` may."""
        return self.rank >= needed.rank


class Locale(StrEnum):
    """The languages of the UI and of mails."""

    EN = "en"
    RU = "ru"
    EL = "el"
    DE = "de"
    FR = "fr"
    ES = "es"
    ZH = "zh"
    AR = "ar"
    SR = "sr"


class StepKind(StrEnum):
    LOAD = "load"
    TRANSFORM = "transform"


class WriteDisposition(StrEnum):
    APPEND = "append"
    REPLACE = "replace"
    MERGE = "merge"


class DbtCommand(StrEnum):
    BUILD = "build"
    RUN = "run"
    TEST = "test"
    SEED = "seed"
    SNAPSHOT = "snapshot"
    COMPILE = "compile"
    SOURCE_FRESHNESS = "source freshness"
    DOCS = "docs generate"


class TransformationKind(StrEnum):
    MODEL = "model"
    TEST = "test"
    MACRO = "macro"
    SEED = "seed"
    SNAPSHOT = "snapshot"
    EXPOSURE = "exposure"
    SOURCE = "source"
    PROJECT = "project"


class Materialization(StrEnum):
    VIEW = "view"
    TABLE = "table"
    INCREMENTAL = "incremental"
    EPHEMERAL = "ephemeral"
    MATERIALIZED_VIEW = "materialized_view"


class RunState(StrEnum):
    """States of a run. The transitions between them are in ``contracts/run_states.py``."""

    QUEUED = "queued"
    STARTING = "starting"
    RUNNING = "running"
    CANCELLING = "cancelling"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"
    UPSTREAM_STALE = "upstream_stale"

    @property
    def is_final(self) -> bool:
        return self in _FINAL


_FINAL = frozenset(
    {
        RunState.SUCCEEDED,
        RunState.FAILED,
        RunState.CANCELLED,
        RunState.SKIPPED,
        RunState.UPSTREAM_STALE,
    }
)


class StepState(StrEnum):
    """States of a run step, and of the tables and dbt nodes inside it."""

    PENDING = "pending"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    WARNED = "warned"
    FAILED = "failed"
    SKIPPED = "skipped"
    CANCELLED = "cancelled"


class RunTrigger(StrEnum):
    MANUAL = "manual"
    API = "api"
    SCHEDULE = "schedule"
    DEPENDENCY = "dependency"
    RETRY = "retry"
    BACKFILL = "backfill"


class OverlapPolicy(StrEnum):
    """What becomes of a run that a schedule or a dependency starts while another of its pipeline
    is unfinished. One that a person or a program asked for is never dropped: it waits, or starts
    at once where the policy is ``allow``."""

    SKIP = "skip"
    QUEUE = "queue"
    ALLOW = "allow"


class BackfillState(StrEnum):
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class LogLevel(StrEnum):
    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"
