"""Who may do what: the one table of permissions.

``resource:action`` -> the least role that may do it. API keys carry these same names as scopes.
"""

from __future__ import annotations

from datanika.contracts.enums import Role

_V, _E, _A, _O = Role.VIEWER, Role.EDITOR, Role.ADMIN, Role.OWNER

PERMISSIONS: dict[str, Role] = {
    "organization:read": _V,
    "organization:update": _O,
    "organization:delete": _O,
    "organization:transfer": _O,
    "usage:read": _V,
    "member:read": _V,
    "member:invite": _A,
    "member:update": _A,
    "member:remove": _A,
    "connection:read": _V,
    "connection:write": _E,
    "connection:test": _E,
    "connection:query": _E,
    "connection:delete": _A,
    "file:read": _V,
    "file:write": _E,
    "file:preview": _E,
    "file:delete": _A,
    "pipeline:read": _V,
    "pipeline:write": _E,
    "pipeline:delete": _A,
    "transformation:read": _V,
    "transformation:write": _E,
    "transformation:preview": _E,
    "transformation:delete": _A,
    "transformation:import": _A,
    "transformation:export": _A,
    "job:read": _E,
    "schedule:read": _V,
    "schedule:write": _E,
    "schedule:delete": _A,
    "run:read": _V,
    "run:trigger": _E,
    "run:cancel": _E,
    "cursor:read": _V,
    "cursor:rewind": _E,
    "catalog:read": _V,
    "notification:read": _V,
    "notification:write": _A,
    "notification:delete": _A,
    "audit:read": _A,
    "api_key:read": _A,
    "api_key:write": _A,
    "api_key:delete": _A,
}
