"""Every model, so that importing this package fills ``Base.metadata``."""

from datanika.models.audit import AuditLog
from datanika.models.backfill import Backfill
from datanika.models.base import Base
from datanika.models.catalog import CatalogEntry, LineageEdge
from datanika.models.connection import Connection
from datanika.models.cursor import CursorVersion
from datanika.models.dependency import PipelineDependency
from datanika.models.file import UploadedFile
from datanika.models.idempotency import IdempotencyKey
from datanika.models.job import Job
from datanika.models.mail import PendingMail
from datanika.models.notification import NotificationChannel, NotificationDelivery
from datanika.models.organization import Organization, UsageMonth
from datanika.models.pipeline import Pipeline, PipelineVersion
from datanika.models.run import Run, RunLog, RunStep
from datanika.models.schedule import Schedule
from datanika.models.slot import SlotRelease
from datanika.models.transformation import Transformation, TransformationVersion
from datanika.models.user import (
    ApiKey,
    Invitation,
    LoginSession,
    Membership,
    RefreshToken,
    Throttle,
    User,
    UserIdentity,
    UserToken,
)

__all__ = [
    "ApiKey",
    "AuditLog",
    "Backfill",
    "Base",
    "CatalogEntry",
    "Connection",
    "CursorVersion",
    "IdempotencyKey",
    "Invitation",
    "Job",
    "LineageEdge",
    "LoginSession",
    "Membership",
    "NotificationChannel",
    "NotificationDelivery",
    "Organization",
    "PendingMail",
    "Pipeline",
    "PipelineDependency",
    "PipelineVersion",
    "RefreshToken",
    "Run",
    "RunLog",
    "RunStep",
    "Schedule",
    "SlotRelease",
    "Throttle",
    "Transformation",
    "TransformationVersion",
    "UploadedFile",
    "UsageMonth",
    "User",
    "UserIdentity",
    "UserToken",
]
