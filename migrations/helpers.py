"""What migrations share: the list of tables, the roles, row-level security.

Row-level security is forced on every table with tenants' rows. The application's role sees the
rows of the organisation in ``app.org_id`` and nothing without one; the system role sees all.
Neither owns a table, so neither can switch it off.
"""

from __future__ import annotations

from alembic import op
from sqlalchemy import text

from datanika.errors import ConfigError

PUBLIC_TABLES = (
    "api_keys",
    "audit_log",
    "backfills",
    "catalog_entries",
    "connections",
    "cursor_versions",
    "deliveries",
    "idempotency_keys",
    "invitations",
    "jobs",
    "lineage_edges",
    "login_sessions",
    "mails",
    "memberships",
    "notification_channels",
    "organizations",
    "pipeline_dependencies",
    "pipeline_versions",
    "pipelines",
    "refresh_tokens",
    "run_logs",
    "run_steps",
    "runs",
    "schedules",
    "slot_releases",
    "throttles",
    "transformation_versions",
    "transformations",
    "uploaded_files",
    "usage_months",
    "user_identities",
    "user_tokens",
    "users",
)
"""Every table, all of them in the schema ``public``. Alembic does not see a table that is missing
here."""

APP_ROLE = "datanika_app"
SYSTEM_ROLE = "datanika_system"

CURRENT_ORG = "NULLIF(current_setting('app.org_id', true), '')::bigint"
"""NULL, which equals nothing, when the session has no organisation: after a transaction that had
one PostgreSQL leaves an empty string behind."""

EVERYTHING = "SELECT, INSERT, UPDATE, DELETE"


def ensure_roles() -> None:
    """The two roles of the application, made where this login may make roles.

    Raises :class:`ConfigError` with the statements to run where it may not.
    """
    bind = op.get_bind()
    may_create = bind.scalar(
        text("SELECT rolsuper OR rolcreaterole FROM pg_roles WHERE rolname = current_user")
    )
    existing = set(
        bind.scalars(
            text("SELECT rolname FROM pg_roles WHERE rolname IN (:app, :system)"),
            {"app": APP_ROLE, "system": SYSTEM_ROLE},
        )
    )
    missing = [role for role in (APP_ROLE, SYSTEM_ROLE) if role not in existing]
    if missing and not may_create:
        raise ConfigError(
            f"The database has no role {' and no role '.join(missing)}, and this login may not "
            "create roles.",
            code="database_roles_missing",
            hint=f"As a superuser run: CREATE ROLE {APP_ROLE} LOGIN PASSWORD '...'; "
            f"CREATE ROLE {SYSTEM_ROLE} NOLOGIN; "
            f"GRANT {SYSTEM_ROLE} TO {APP_ROLE} WITH INHERIT FALSE, SET TRUE;",
        )
    for role in missing:
        op.execute(f"CREATE ROLE {role} NOLOGIN")
    _ensure_membership()


def _ensure_membership() -> None:
    """The application may become the system role, but does not inherit it: row policies of an
    inherited role would apply to it all the time."""
    bind = op.get_bind()
    parameters = {"app": APP_ROLE, "system": SYSTEM_ROLE}
    safe = text(
        "SELECT pg_has_role(:app, :system, 'MEMBER') AND NOT pg_has_role(:app, :system, 'USAGE')"
    )
    if bind.scalar(safe, parameters):
        return
    may_grant = bind.scalar(
        text(
            "SELECT rolsuper OR pg_has_role(:system, 'MEMBER WITH ADMIN OPTION') "
            "FROM pg_roles WHERE rolname = current_user"
        ),
        parameters,
    )
    if not may_grant:
        raise ConfigError(
            f"{APP_ROLE} must be allowed to become {SYSTEM_ROLE} without inheriting it.",
            code="database_roles_wrong",
            hint=f"As a superuser run: GRANT {SYSTEM_ROLE} TO {APP_ROLE} "
            "WITH INHERIT FALSE, SET TRUE;",
        )
    op.execute(f"GRANT {SYSTEM_ROLE} TO {APP_ROLE} WITH INHERIT FALSE, SET TRUE")
    # A grant made by somebody else stands beside ours, and any that inherits is enough.
    if not bind.scalar(safe, parameters):
        op.execute(f"ALTER ROLE {APP_ROLE} NOINHERIT")
    if not bind.scalar(safe, parameters):
        raise ConfigError(
            f"{APP_ROLE} inherits {SYSTEM_ROLE} through another grant.",
            code="database_roles_wrong",
            hint=f"As a superuser run: REVOKE {SYSTEM_ROLE} FROM {APP_ROLE} "
            "GRANTED BY <who granted it>;",
        )


def enable_tenant_rls(
    table: str, *, column: str = "org_id", app: str = EVERYTHING, system: str = EVERYTHING
) -> None:
    """Rows of ``table`` are visible and writable to the application by their ``column`` only.

    ``app`` and ``system`` are the privileges the two roles get.
    """
    enable_rls(table, visible=f"{column} = {CURRENT_ORG}", app=app, system=system)


def enable_rls(table: str, *, visible: str, app: str, system: str = EVERYTHING) -> None:
    """Force row-level security: the application's role sees the rows where ``visible`` holds."""
    op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
    op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
    op.execute(
        f"CREATE POLICY tenant ON {table} TO {APP_ROLE} USING ({visible}) WITH CHECK ({visible})"
    )
    # current_user, because a policy TO a role also applies to whoever inherits the role.
    system_only = f"current_user = '{SYSTEM_ROLE}'"
    op.execute(
        f"CREATE POLICY system ON {table} TO {SYSTEM_ROLE} "
        f"USING ({system_only}) WITH CHECK ({system_only})"
    )
    grant(table, APP_ROLE, app)
    grant(table, SYSTEM_ROLE, system)


def grant(table: str, role: str, privileges: str) -> None:
    """Give ``role`` exactly ``privileges`` on ``table``; an empty string gives none."""
    op.execute(f"REVOKE ALL ON {table} FROM {role}")
    if privileges:
        op.execute(f"GRANT {privileges} ON {table} TO {role}")
