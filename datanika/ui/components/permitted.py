"""What is shown to whom. Handlers check again: this only keeps away what would be refused."""

from __future__ import annotations

import reflex as rx

from datanika.services.permissions import PERMISSIONS
from datanika.ui.state.session import SessionState


def may(permission: str) -> rx.Var[bool]:
    """Whether the page's user may do ``permission``; raises ValueError when there is none such."""
    if permission not in PERMISSIONS:
        raise ValueError(f"There is no permission {permission!r}.")
    return SessionState.permissions[permission].to(bool)
