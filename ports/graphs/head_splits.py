"""The strongest edges of a graph, split by heads: `<slug>_heads.json`.

    [{"target": node, "source": node, "edge": 0.4, "direct": 0.1, "heads": [[layer, head, 0.3], ...], "skips": [...]}]

Heads and skips (layer, part) are listed by size, without zeros. Nodes are named as in the graph's other files.
"""

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from causeway.engine.analyses.attribute.heads import HeadSplit
from causeway.engine.sweep.durable import make_folder, write_bytes


def write_head_splits(folder: Path, slug: str, splits: Iterable[tuple[str, str, HeadSplit]]) -> Path:
    """Write the splits of (target, source) edges; returns the file."""
    make_folder(folder)
    path = folder / f"{slug}_heads.json"
    records = [
        {
            "target": target, "source": source, "edge": split.edge, "direct": split.direct,
            "heads": _listed(split.heads), "skips": _listed(split.skips),
        }
        for target, source, split in splits
    ]  # fmt: skip
    write_bytes(path, (json.dumps(records, indent=1) + "\n").encode())
    return path


def _listed(parts: np.ndarray) -> list[list[float]]:
    places = sorted(zip(*np.nonzero(parts), strict=True), key=lambda at: -abs(parts[at]))
    return [[*map(int, at), float(parts[at])] for at in places]
