"""Settings: the organisation, its people, keys and channels, its log; and one's own account."""

from __future__ import annotations

from datanika.ui.pages.settings.account import account_page
from datanika.ui.pages.settings.api_keys import api_keys_page
from datanika.ui.pages.settings.audit import audit_page
from datanika.ui.pages.settings.channels import channels_page
from datanika.ui.pages.settings.members import members_page
from datanika.ui.pages.settings.organization import organization_page
from datanika.ui.routes import Page
from datanika.ui.state.account_state import AccountState
from datanika.ui.state.api_key_state import ApiKeyState
from datanika.ui.state.audit_state import AuditState
from datanika.ui.state.channel_state import ChannelState
from datanika.ui.state.member_state import MemberState
from datanika.ui.state.organization_state import OrganizationState

PAGES = (
    Page("/settings", organization_page, "Settings", OrganizationState.load_organization),
    Page("/settings/members", members_page, "Members", MemberState.load_members),
    Page("/settings/api-keys", api_keys_page, "API keys", ApiKeyState.load_keys),
    Page("/settings/notifications", channels_page, "Notifications", ChannelState.load_channels),
    Page("/settings/audit", audit_page, "Audit log", AuditState.load_audit),
    Page("/settings/account", account_page, "Account", AccountState.load_account),
)
