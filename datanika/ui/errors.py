"""Error codes of services in the user's language."""

from __future__ import annotations

from datanika.errors import DatanikaError

ERROR_KEYS = {
    "not_found": "error.not_found",
    "permission_denied": "error.permission_denied",
    "not_authenticated": "error.not_authenticated",
    "illegal_transition": "error.run_moved_on",
    "too_many_requests": "error.too_many_requests",
    "unavailable": "error.unavailable",
}

LOGIN_ERROR_KEYS = {
    "bad_credentials": "login.error.credentials",
    "not_a_member": "login.error.not_a_member",
    "too_many_requests": "error.too_many_requests",
    "unavailable": "error.unavailable",
}
"""By the code that the login form's answer carries in the address."""


def error_key(error: DatanikaError) -> str:
    """The translation key for ``error``: its code's, else that of its kind, else a general one."""
    return ERROR_KEYS.get(error.code) or ERROR_KEYS.get(error.default_code) or "error.unknown"
