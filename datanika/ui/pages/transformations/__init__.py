"""Transformations: the dbt projects of the organisation."""

from __future__ import annotations

from datanika.ui.pages.transformations.editor import transformation_page
from datanika.ui.pages.transformations.transformation_list import transformations_page
from datanika.ui.routes import Page
from datanika.ui.state.transformation_list_state import TransformationListState
from datanika.ui.state.transformation_state import TransformationState

PAGES = (
    Page(
        "/transformations",
        transformations_page,
        "Transformations",
        TransformationListState.load_transformations,
    ),
    Page(
        "/transformations/[transformation_id]",
        transformation_page,
        "Transformation",
        TransformationState.load_transformation,
    ),
)
