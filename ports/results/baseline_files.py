"""What a baseline writes: a table a behaviour, one file of metrics a split, and figures.

    baseline_{behaviour}_{split}.csv          one line a prompt
    baseline_groups_{behaviour}_{split}.csv   one line for each value of a field
    baseline_prompts_{behaviour}_{split}.jsonl  what was run, where prompts are conversations
    baseline_metrics_{split}.json             all behaviours of the split
    figures/baseline_{behaviour}_{split}.png  histogram of normalised differences
    figures/baseline_rates_{split}.png        rates of all behaviours, with intervals

The metrics are written last: with them a split's baseline is whole.
"""

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from causeway.engine.sweep import durable


def table_path(out: Path, behaviour: str, split: str, kind: str = "") -> Path:
    """The file of a table; `kind` is "groups" for rates by value."""
    return out / "_".join(["baseline", *([kind] if kind else []), behaviour, f"{split}.csv"])


def prompts_path(out: Path, behaviour: str, split: str) -> Path:
    """The file of prompts as a chat template wrote them."""
    return table_path(out, behaviour, split, "prompts").with_suffix(".jsonl")


def metrics_path(out: Path, split: str) -> Path:
    """The file of a split's metrics."""
    return out / f"baseline_metrics_{split}.json"


def names(sets: Iterable[tuple[str, str]]) -> list[str]:
    """Every file that may be written of (behaviour, split) pairs, relative to the folder.

    Raises:
        ValueError: two pairs would be written to one file.
    """
    here, sets = Path(), list(sets)
    own = [path for behaviour, split in sets for path in _own(here, behaviour, split)]
    own += [place(here, split) for split in {split for _, split in sets} for place in (metrics_path, rates_path)]
    if len(set(own)) < len(own):
        twice = next(path for path in own if own.count(path) > 1)
        raise ValueError(f"--prompts: two behaviours or splits would both be written to {twice}; rename one of them")
    return [path.as_posix() for path in own]


def _own(out: Path, behaviour: str, split: str) -> list[Path]:
    tables = [table_path(out, behaviour, split, kind) for kind in ("", "groups")]
    return [*tables, prompts_path(out, behaviour, split), figure_path(out, behaviour, split)]


def figure_path(out: Path, behaviour: str, split: str) -> Path:
    """The picture of a behaviour's differences."""
    return out / "figures" / f"baseline_{behaviour}_{split}.png"


def rates_path(out: Path, split: str) -> Path:
    """The picture of a split's rates."""
    return out / "figures" / f"baseline_rates_{split}.png"


def write_table(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Writes rows with the same fields as CSV."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    durable.write_bytes(path, text.getvalue().encode())


def write_metrics(out: Path, split: str, content: Mapping[str, Any]) -> None:
    """Writes a split's metrics."""
    durable.write_bytes(metrics_path(out, split), (json.dumps(content, indent=2, allow_nan=False) + "\n").encode())
