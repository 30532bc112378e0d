"""Error codes of services in the user's language."""

from __future__ import annotations

from datanika.errors import DatanikaError

ERROR_KEYS = {
    "not_found": "error.not_found",
    "permission_denied": "error.permission_denied",
    "not_authenticated": "error.not_authenticated",
    "illegal_transition": "error.run_moved_on",
    "conflict": "error.conflict",
    "limit_reached": "error.limit_reached",
    "precondition_failed": "error.changed_meanwhile",
    "invalid_input": "error.invalid_input",
    "spec_invalid": "error.invalid_input",
    "guard_refused": "error.guard_refused",
    "egress_refused": "error.egress_refused",
    "too_many_requests": "error.too_many_requests",
    "unavailable": "error.unavailable",
}

LOGIN_ERROR_KEYS = {
    "bad_credentials": "login.error.credentials",
    "not_a_member": "login.error.not_a_member",
    "too_many_requests": "error.too_many_requests",
    "unavailable": "error.unavailable",
    "totp_required": "login.error.totp_required",
    "totp_wrong": "login.error.totp_wrong",
    "email_not_verified": "login.error.email_not_verified",
    "account_exists": "login.error.account_exists",
    "provider_email_not_verified": "login.error.provider_email",
    "provider_failed": "login.error.provider",
    "id_token_invalid": "login.error.provider",
    "state_invalid": "login.error.provider",
    "token_invalid": "login.error.token",
    "email_taken": "login.error.token",
    "invitation_invalid": "invitation.invalid",
    "invitation_of_another": "invitation.other",
    "already_a_member": "login.error.already_a_member",
    "invalid_input": "login.error.password",
    "password_too_short": "login.error.password",
    "password_too_long": "login.error.password",
    "registration_closed": "sign_up.closed",
}
"""By the code that the login form's answer carries in the address."""

CODE_ERRORS = ("login.error.totp_required", "login.error.totp_wrong")
"""After these the login form asks for a code, too."""

LOGIN_NOTICE_KEYS = {
    "reset_sent": "login.notice.reset_sent",
    "password_changed": "login.notice.password_changed",
    "email_confirmed": "login.notice.email_confirmed",
    "joined": "login.notice.joined",
    "registered": "login.notice.registered",
    "registered_confirm": "login.notice.registered_confirm",
}
"""By what the form before the login page has done."""


def error_key(error: DatanikaError) -> str:
    """The translation key for ``error``: its code's, else that of its kind, else a general one."""
    return ERROR_KEYS.get(error.code) or ERROR_KEYS.get(error.default_code) or "error.unknown"
