"""The error tree. Every error carries a stable ``code``, an HTTP ``status`` and the way out.

    DatanikaError                       500 internal
    ├── ConfigError                     500 config_invalid
    ├── AuthenticationError             401 not_authenticated
    ├── PermissionDenied                403 permission_denied
    ├── NotFound                        404 not_found          (also for other tenants' rows)
    ├── MethodNotAllowed                405 method_not_allowed (``Allow`` says what is)
    ├── Conflict                        409 conflict
    │   ├── IllegalTransition           409 illegal_transition
    │   └── LimitReached                409 limit_reached      (a quota of the organisation)
    ├── PreconditionFailed              412 precondition_failed (somebody else changed it)
    ├── BodyTooLarge                    413 body_too_large
    ├── PreconditionRequired            428 precondition_required (say which state you change)
    ├── InvalidInput                    422 invalid_input
    │   ├── SpecError                   422 spec_invalid       (names the step)
    │   ├── GuardRefused                422 guard_refused      (tenant code that may not run)
    │   └── EgressRefused               422 egress_refused     (nowhere to connect to for a tenant)
    ├── TooManyRequests                 429 too_many_requests
    ├── Unavailable                     503 unavailable        (a part of the platform is down)
    └── StepError                       the failure of a run step, in words for the tenant
        ├── TransientStepError          worth a retry: network, lock, restart, throttling
        └── TerminalStepError           a retry would fail again: credentials, SQL, schema

``code`` may be narrowed per raise; ``field`` names the offending input as a dotted path.
"""

from __future__ import annotations

from typing import Any, ClassVar


class DatanikaError(Exception):
    """Something went wrong inside Datanika."""

    default_code: ClassVar[str] = "internal"
    status: ClassVar[int] = 500

    def __init__(
        self,
        message: str | None = None,
        *,
        code: str | None = None,
        hint: str | None = None,
        field: str | None = None,
        **context: Any,
    ) -> None:
        self.message = message or (type(self).__doc__ or "").strip()
        self.code = code or self.default_code
        self.hint = hint
        self.field = field
        self.context = context
        super().__init__(self.message)


class ConfigError(DatanikaError):
    """A setting is missing or wrong."""

    default_code = "config_invalid"


class AuthenticationError(DatanikaError):
    """Log in first."""

    default_code = "not_authenticated"
    status = 401


class PermissionDenied(DatanikaError):
    """Your role in this organisation does not allow this."""

    default_code = "permission_denied"
    status = 403


class NotFound(DatanikaError):
    """There is no such thing in this organisation."""

    default_code = "not_found"
    status = 404


class MethodNotAllowed(DatanikaError):
    """This path does not know the method. ``context["headers"]`` has ``Allow``."""

    default_code = "method_not_allowed"
    status = 405


class Conflict(DatanikaError):
    """This collides with what exists."""

    default_code = "conflict"
    status = 409


class IllegalTransition(Conflict):
    """A run cannot go from its present state to the one asked for."""

    default_code = "illegal_transition"


class LimitReached(Conflict):
    """The organisation has used up what it may use."""

    default_code = "limit_reached"


class PreconditionFailed(DatanikaError):
    """Somebody else changed this since you read it."""

    default_code = "precondition_failed"
    status = 412


class BodyTooLarge(DatanikaError):
    """The request's body is too long."""

    default_code = "body_too_large"
    status = 413


class PreconditionRequired(DatanikaError):
    """This needs an If-Match header."""

    default_code = "precondition_required"
    status = 428


class InvalidInput(DatanikaError):
    """The input is not valid."""

    default_code = "invalid_input"
    status = 422


class SpecError(InvalidInput):
    """The pipeline's specification is not valid."""

    default_code = "spec_invalid"


class GuardRefused(InvalidInput):
    """This code may not run on the platform."""

    default_code = "guard_refused"


class EgressRefused(InvalidInput):
    """The platform does not connect there for a tenant."""

    default_code = "egress_refused"


class TooManyRequests(DatanikaError):
    """Too many requests; try again later. ``context["retry_after"]`` is in seconds."""

    default_code = "too_many_requests"
    status = 429


class Unavailable(DatanikaError):
    """A part of the platform is not answering; try again shortly."""

    default_code = "unavailable"
    status = 503


class StepError(DatanikaError):
    """A run step failed."""

    default_code = "step_failed"
    transient: ClassVar[bool] = False


class TransientStepError(StepError):
    """A run step failed for a reason that may pass."""

    default_code = "step_failed_transient"
    transient = True


class TerminalStepError(StepError):
    """A run step failed for a reason that stays until somebody changes something."""

    default_code = "step_failed_terminal"
