"""For the people who run the platform."""

from __future__ import annotations

from datanika.ui.pages.operators.platform import operators_page
from datanika.ui.routes import Page
from datanika.ui.state.operator_state import OperatorState

PAGES = (Page("/operators", operators_page, "Operators", OperatorState.load_operators),)
