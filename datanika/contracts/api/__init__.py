"""What the REST API answers and takes: one description for the server and the typed client.

A module per resource; this package has them all.
"""

from datanika.contracts.api.api_keys import ApiKeyCreatedOut, ApiKeyIn, ApiKeyOut
from datanika.contracts.api.audit import AuditOut
from datanika.contracts.api.auth import (
    LoginIn,
    MeOut,
    RefreshIn,
    RegisteredOut,
    RegisterIn,
    SessionOut,
    TokensOut,
)
from datanika.contracts.api.base import Answer, Body, FieldProblem, Page, Problem
from datanika.contracts.api.catalog import CatalogEntryOut
from datanika.contracts.api.connections import (
    ConnectionCopyIn,
    ConnectionIn,
    ConnectionOut,
    ConnectionPatch,
)
from datanika.contracts.api.cursors import CursorOut, CursorVersionOut, RewindIn
from datanika.contracts.api.jobs import (
    CompileIn,
    ConnectionTestIn,
    IntrospectIn,
    JobOut,
    PreviewIn,
    QueryIn,
    TransformationPreviewIn,
)
from datanika.contracts.api.notifications import (
    EmailConfig,
    NotificationChannelCreatedOut,
    NotificationChannelIn,
    NotificationChannelOut,
    NotificationChannelPatch,
    NotificationDeliveryOut,
    SlackConfig,
    TelegramConfig,
    WebhookConfig,
    WebhookSecretOut,
)
from datanika.contracts.api.pipelines import (
    PipelineIn,
    PipelineItem,
    PipelineOut,
    PipelinePatch,
    PipelineVersionOut,
    PlanOut,
)
from datanika.contracts.api.runs import LogOut, RetryIn, RunOut, RunStepOut
from datanika.contracts.api.schedules import ScheduleIn, ScheduleOut, SchedulePatch
from datanika.contracts.api.transformations import TransformationOut

__all__ = [
    "Answer",
    "ApiKeyCreatedOut",
    "ApiKeyIn",
    "ApiKeyOut",
    "AuditOut",
    "Body",
    "CatalogEntryOut",
    "CompileIn",
    "ConnectionCopyIn",
    "ConnectionIn",
    "ConnectionOut",
    "ConnectionPatch",
    "ConnectionTestIn",
    "CursorOut",
    "CursorVersionOut",
    "EmailConfig",
    "FieldProblem",
    "IntrospectIn",
    "JobOut",
    "LogOut",
    "LoginIn",
    "MeOut",
    "NotificationChannelCreatedOut",
    "NotificationChannelIn",
    "NotificationChannelOut",
    "NotificationChannelPatch",
    "NotificationDeliveryOut",
    "Page",
    "PipelineIn",
    "PipelineItem",
    "PipelineOut",
    "PipelinePatch",
    "PipelineVersionOut",
    "PlanOut",
    "PreviewIn",
    "Problem",
    "QueryIn",
    "RefreshIn",
    "RegisterIn",
    "RegisteredOut",
    "RetryIn",
    "RewindIn",
    "RunOut",
    "RunStepOut",
    "ScheduleIn",
    "ScheduleOut",
    "SchedulePatch",
    "SessionOut",
    "SlackConfig",
    "TelegramConfig",
    "TokensOut",
    "TransformationOut",
    "TransformationPreviewIn",
    "WebhookConfig",
    "WebhookSecretOut",
]
