"""What the gambling studies share: how their stages are written, and the stage that brings all others together."""

from collections.abc import Sequence
from typing import Any

from ml_collections import ConfigDict

# Name, driver, earlier outputs that flags take, and values of flags.
Row = tuple[str, str, dict[str, Any], dict[str, Any]]


def integrated(results: str) -> Row:
    """The last stage. `results` is the stage whose effects are told."""
    takes = {
        "select": "select", "results": results, "pathways": "pathways", "replay": "replay", "associations": "tokens",
    }  # fmt: skip
    return "integrate", "integrate", takes, {}


def stages(rows: Sequence[Row]) -> tuple[ConfigDict, ...]:
    """The stages as a study has them."""
    return tuple(
        ConfigDict({"name": name, "driver": driver, "takes": takes, "flags": values})
        for name, driver, takes, values in rows
    )
