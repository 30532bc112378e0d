"""The table of permissions against the table of roles in the documentation."""

from __future__ import annotations

import pytest

from datanika.contracts.enums import Role
from datanika.services.permissions import PERMISSIONS

READS = {name for name in PERMISSIONS if name.endswith(":read")}
DELETIONS = {name for name in PERMISSIONS if name.endswith((":delete", ":remove"))}


def test_viewers_read_everything_but_keys_the_audit_log_and_jobs_and_change_nothing() -> None:
    may = {name for name, role in PERMISSIONS.items() if Role.VIEWER.covers(role)}
    # The result of a job holds rows of a database, which only those who may query it see.
    assert may == READS - {"api_key:read", "audit:read", "job:read"}


def test_nobody_below_admin_deletes() -> None:
    assert all(PERMISSIONS[name].covers(Role.ADMIN) for name in DELETIONS)


@pytest.mark.parametrize("resource", ["connection", "pipeline", "transformation", "schedule"])
def test_editors_make_and_change_what_they_work_with(resource: str) -> None:
    assert PERMISSIONS[f"{resource}:write"] is Role.EDITOR


def test_only_the_owner_changes_the_organisation() -> None:
    assert PERMISSIONS["organization:update"] is Role.OWNER
