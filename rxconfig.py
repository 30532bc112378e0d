"""Reflex reads its configuration here: ``uv run reflex run`` starts the development server."""

from datanika.config import data_home
from datanika.ui.node import use_bundled_node
from datanika.ui.reflex_config import config

use_bundled_node(data_home() / "ui" / "node")

__all__ = ["config"]
