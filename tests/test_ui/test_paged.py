"""A list that is read a page at a time: each state pages for itself."""

from __future__ import annotations

import importlib
import pkgutil

import datanika.ui.state as states
from datanika.ui.state.api_key_state import ApiKeyState
from datanika.ui.state.audit_state import AuditState
from datanika.ui.state.paged import Paged
from datanika.ui.state.tenant import tenant_states


def test_pages_of_two_lists_are_their_own() -> None:
    keys, audit = (cls(_reflex_internal_init=True) for cls in (ApiKeyState, AuditState))
    keys._cursors = [None, "a"]
    keys._turned("b")
    assert (keys.has_newer, keys.has_older, keys._next_cursor) == (True, True, "b")
    assert (audit.has_newer, audit.has_older, audit._cursors) == (False, False, [None])
    keys._first_page()
    keys._turned(None)
    assert (keys.has_newer, keys.has_older) == (False, False)


def test_every_list_turns_its_pages_with_handlers_of_its_own() -> None:
    for module in pkgutil.iter_modules(states.__path__):
        importlib.import_module(f"{states.__name__}.{module.name}")
    paged = [cls for cls in tenant_states() if issubclass(cls, Paged)]
    assert len(paged) >= 10
    for cls in paged:
        assert {"show_older", "show_newer"} <= set(cls.event_handlers), cls
