"""Word analyses on disk.

associations.parquet               a row a (feature, context, contrast, unit, text): log odds with interval, p and q
outcomes.parquet                   a row a (feature, context, contrast, parser, outcome): effects on decisions, length
token_associations.json            {feature: [{token, token_id, odds_ratio, p_value, baseline_count, ...}]}
feature_word_effects_CONTRAST.json {feature: {adds: [...], removes: [...]}}, patch_risky_vs_baseline for its CONTRAST
tokens.json                        counts and settings: written last, the folder is whole
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from causeway.engine.sweep import durable
from causeway.engine.sweep.table import write_table
from causeway.ports.files.json_text import write_json

ASSOCIATIONS, OUTCOMES, TOKENS, ABOUT = (
    "associations.parquet", "outcomes.parquet", "token_associations.json", "tokens.json",
)  # fmt: skip
EFFECTS = "feature_word_effects_"


def effects_name(contrast: str) -> str:
    """The file of a contrast such as "patch:risky - baseline"."""
    return EFFECTS + re.sub(r"[^A-Za-z0-9_.-]+", "_", contrast.replace(" - ", "_vs_")) + ".json"


def names(contrasts: list[str]) -> list[str]:
    """All files of an analysis."""
    return [ASSOCIATIONS, OUTCOMES, TOKENS, *map(effects_name, contrasts), ABOUT]


def remove_tokens(folder: Path) -> None:
    """Removes an earlier analysis, its description first: files of two runs never stand side by side."""
    for name in (ABOUT, TOKENS, OUTCOMES, ASSOCIATIONS):
        durable.remove(folder / name)
    for path in folder.glob(f"{EFFECTS}*.json"):
        durable.remove(path)


def write_tokens(
    folder: Path,
    associations: pa.Table,
    outcomes: pa.Table,
    entries: Mapping[str, Any],
    effects: Mapping[str, Mapping[str, Any]],
    about: Mapping[str, Any],
) -> None:
    """Write all files into a folder that is there.

    Args:
        entries: of token_associations.json. effects: of each contrast.
    """
    write_table(folder / ASSOCIATIONS, associations)
    write_table(folder / OUTCOMES, outcomes)
    write_json(folder / TOKENS, entries)
    for contrast, found in effects.items():
        write_json(folder / effects_name(contrast), found)
    write_json(folder / ABOUT, about)
