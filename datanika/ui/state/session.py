"""Who is logged in, for the frame around every page."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import reflex as rx

from datanika.config import settings
from datanika.services.openid import providers
from datanika.services.organization_service import OrganizationService
from datanika.services.permissions import PERMISSIONS
from datanika.services.validation import local_path
from datanika.ui.errors import CODE_ERRORS, LOGIN_ERROR_KEYS, LOGIN_NOTICE_KEYS
from datanika.ui.state.tenant import TenantState, tenant_session


class SessionState(TenantState):
    """``_identity`` is (user id, organisation id); see ``ui/guard.py``. ``loaded_path`` is the
    address that was loaded last."""

    email: str = ""
    organization: str = ""
    organizations: list[dict[str, Any]] = []
    role: str = ""
    initials: str = ""
    permissions: dict[str, bool] = {}
    is_operator: bool = False
    is_ready: bool = False
    loaded_path: str = ""
    login_error: str = ""
    login_notice: str = ""
    asks_code: bool = False
    mailed_token: str = ""
    may_register: bool = True
    login_providers: list[dict[str, str]] = []
    next_page: str = "/"
    _identity: tuple[int, int] | None = None

    @rx.event
    async def load_session(self) -> None:
        """Fill the frame. The last of what runs when a page loads, after the sender was proven."""
        async with tenant_session() as (session, actor):
            mine = await OrganizationService(session, actor).mine()
        self.organizations = [
            {"id": one.id, "name": one.name, "role": one.role, "is_current": one.id == actor.org_id}
            for one in mine
        ]
        self.organization = next((one.name for one in mine if one.id == actor.org_id), "")
        self.email = actor.email
        self.role = actor.role.value
        self.initials = actor.email[:2].upper()
        self.permissions = {name: actor.may(name) for name in PERMISSIONS}
        self.is_operator = actor.is_operator
        self.is_ready = True
        self.loaded_path = self.router.url.path

    @rx.event
    def load_login(self) -> None:
        """Read what the login page, or a page of a mail's link, was opened with: where to go next,
        why login failed, the link's token."""
        query = self.router.url.query_parameters
        code = query.get("error", "")
        self.login_error = LOGIN_ERROR_KEYS.get(code, "error.unknown") if code else ""
        self.login_notice = LOGIN_NOTICE_KEYS.get(query.get("notice", ""), "")
        self.asks_code = self.login_error in CODE_ERRORS
        self.mailed_token = query.get("token", "")
        self.may_register = settings.registration == "open"
        self.next_page = page_after_login(query.get("next", "/"))
        where = urlencode({"next": self.next_page})
        self.login_providers = [
            {"label": one.label, "href": f"/api/v1/auth/oidc/{one.name}/start?{where}"}
            for one in providers()
        ]


def page_after_login(path: str) -> str:
    """``path`` if it stays on this site and is not the login itself, else the first page."""
    return "/" if path.startswith("/login") else local_path(path)
