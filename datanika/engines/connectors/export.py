"""``python -m datanika.engines.connectors.export`` writes ``contracts/connector_kinds.json``."""

from __future__ import annotations

import json
from pathlib import Path

from datanika.engines.connectors.registry import CONNECTORS

TARGET = Path(__file__).parents[2] / "contracts" / "connector_kinds.json"


def render() -> str:
    """Every kind as the JSON text that the file holds."""
    kinds = [connector.describe().model_dump(mode="json") for connector in CONNECTORS.values()]
    return json.dumps(kinds, indent=2, ensure_ascii=False) + "\n"


def main() -> None:
    TARGET.write_text(render(), encoding="utf-8")


if __name__ == "__main__":
    main()
