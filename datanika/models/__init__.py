"""Every model, so that importing this package fills ``Base.metadata``."""

from datanika.models.audit import AuditLog
from datanika.models.base import Base
from datanika.models.catalog import CatalogEntry
from datanika.models.connection import Connection
from datanika.models.organization import Organization
from datanika.models.pipeline import Pipeline, PipelineVersion
from datanika.models.run import Run, RunLog, RunStep
from datanika.models.schedule import Schedule
from datanika.models.transformation import Transformation
from datanika.models.user import ApiKey, Membership, RefreshToken, User

__all__ = [
    "ApiKey",
    "AuditLog",
    "Base",
    "CatalogEntry",
    "Connection",
    "Membership",
    "Organization",
    "Pipeline",
    "PipelineVersion",
    "RefreshToken",
    "Run",
    "RunLog",
    "RunStep",
    "Schedule",
    "Transformation",
    "User",
]
