"""Decompositions on disk, under the names of the original study's quantities.

    decomposition_layer_{l}.json   {neuron: [[index, coefficient, "text"], ...]}, the largest |coefficient| first
    decomposition_layer_{l}.npz    the coefficients [neurons of the layer, texts] as `scipy.sparse.load_npz` reads them,
                                   a row for each neuron's number; beside them neuron [M], and in the order in which
                                   atoms were taken atom (-1: none), coefficient, cosine and null_cosine [M, S]
    neurons.parquet                a row a neuron
    lexicon.jsonl                  {"text"} a line, in the order of the indices
    decompose.json                 what they are, and figures of each layer; written last

With _as_published after {l}: the same over the original's own dictionary.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Float, Int
from scipy import sparse

from causeway.engine import scalars
from causeway.engine.sweep import durable

ABOUT, NEURONS, LEXICON, PUBLISHED = "decompose.json", "neurons.parquet", "lexicon.jsonl", "_as_published"


def names(layers: Sequence[int], published: bool = False) -> list[str]:
    """Files of a folder, relative to it."""
    stems = [_stem(layer, suffix) for layer in layers for suffix in (["", PUBLISHED] if published else [""])]
    return [*(f"{stem}.{kind}" for stem in stems for kind in ("json", "npz")), NEURONS, LEXICON, ABOUT]


def remove_decompositions(folder: Path) -> None:
    """Remove what an earlier run has left, perhaps of other layers."""
    for path in [folder / ABOUT, *sorted(folder.glob("decomposition_layer_*")), folder / NEURONS, folder / LEXICON]:
        durable.remove(path)


def write_layer(
    folder: Path,
    layer: int,
    neuron: Int[np.ndarray, " M"],
    entries: Sequence[Sequence[tuple[int, float, str]]],
    shape: tuple[int, int],
    arrays: Mapping[str, Float[np.ndarray, "M S"] | Int[np.ndarray, "M S"]],
    suffix: str = "",
) -> None:
    """Write one layer.

    Args:
        folder: that is there. layer: its number. neuron: [M].
        entries: (index, coefficient, text) of each neuron's atoms, as they are to stand.
        shape: neurons of the layer, and texts of the lexicon.
        arrays: atom, coefficient and what else goes with each of them.
        suffix: of the names.
    """
    content = {str(n): [list(entry) for entry in found] for n, found in zip(neuron, entries, strict=True)}
    text = json.dumps(content, ensure_ascii=False, allow_nan=False)
    durable.write_bytes(folder / f"{_stem(layer, suffix)}.json", text.encode())
    row, step = np.nonzero(arrays["atom"] >= 0)
    places = np.asarray(neuron)[row], arrays["atom"][row, step]
    codes = sparse.csr_array((arrays["coefficient"][row, step], places), shape)
    stored: dict[str, Any] = {
        "data": codes.data, "indices": codes.indices, "indptr": codes.indptr, "shape": codes.shape, "format": b"csr",
        "neuron": np.asarray(neuron, np.int32), **arrays,
    }  # fmt: skip
    with durable.replacing(folder / f"{_stem(layer, suffix)}.npz") as path, path.open("wb") as file:
        np.savez(file, **stored)


def write_summary(folder: Path, neurons: pa.Table, about: Mapping[str, Any]) -> None:
    """Write the table of neurons, then what all of it is."""
    with durable.replacing(folder / NEURONS) as path:
        pq.write_table(neurons, path)
    text = json.dumps(scalars.without_nan(dict(about)), indent=1, ensure_ascii=False, allow_nan=False)
    durable.write_bytes(folder / ABOUT, (text + "\n").encode())


def _stem(layer: int, suffix: str = "") -> str:
    return f"decomposition_layer_{layer}{suffix}"
