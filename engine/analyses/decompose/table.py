"""Decompositions as a table and as figures: a row a neuron, those that words say best before the others.

A neuron's gain is its cosine less the mean cosine over the null's draws; its q value is of all neurons of the table as
one family. Layers are told apart in the figures alone.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Float

from causeway.engine.analyses.decompose.decompose import Decomposition
from causeway.engine.stats.multiple import adjust

# Words shown of each neuron.
SHOWN = 8


def table(found: Sequence[Decomposition]) -> pa.Table:
    """All neurons.

    Returns:
        layer, neuron; words (the largest coefficients first); atoms (taken), cosine, null_cosine, gain, p, q; within;
        held_cosine and held_component (NaN without components of other prompts).
    """
    q = adjust(np.concatenate([one.p for one in found])).q
    taken = [(one.pursuit.atom >= 0).sum(axis=1) for one in found]
    columns: dict[str, np.ndarray] = {
        "layer": np.concatenate([np.full(len(one.neuron), one.layer, np.int32) for one in found]),
        "neuron": np.concatenate([one.neuron.astype(np.int32) for one in found]),
        "words": np.array([_words(entries) for one in found for entries in one.entries], object),
        "atoms": np.concatenate(taken).astype(np.int32),
        "cosine": np.concatenate([one.cosine[:, -1] for one in found]),
        "null_cosine": np.concatenate([one.null_cosine[:, -1] for one in found]),
    }
    columns["gain"] = columns["cosine"] - columns["null_cosine"]
    columns |= {"p": np.concatenate([one.p for one in found]), "q": q}
    for name in ("within", "held_cosine", "held_component"):
        columns[name] = np.concatenate([getattr(one, name) for one in found])
    # Without draws nothing is known of chance.
    order = np.argsort(-columns["cosine" if np.isnan(columns["gain"]).any() else "gain"], kind="stable")
    wide = {name: c.astype(np.float64) if c.dtype.kind == "f" else c for name, c in columns.items()}
    return pa.table({name: c[order].tolist() if c.dtype == object else c[order] for name, c in wide.items()})


def _words(entries: Sequence[tuple[int, float, str]]) -> str:
    """The texts of the largest coefficients, those of negative ones after a minus."""
    return ", ".join(f"{'-' if c < 0 else ''}{text.strip() or repr(text)}" for _, c, text in entries[:SHOWN])


def line(found: Decomposition) -> str:
    """A layer in a line."""
    null, none = found.null_cosine[:, -1], len(found.left_out)
    chance = "" if np.isnan(null).all() else f", {null.mean():.3f} by chance"
    still = f"; {none} do not vary" if none else ""
    return (
        f"layer {found.layer}: {len(found.neuron)} neurons, mean cosine {found.cosine[:, -1].mean():.3f} with "
        f"{found.pursuit.atom.shape[1]} texts{chance}, {found.within.mean():.3f} with all{still}"
    )


def figures(found: Decomposition) -> dict[str, Any]:
    """What a layer comes to, JSON-ready; curves have an entry for each number of atoms from 1 on."""
    last = found.cosine[:, -1]
    return {
        "layer": found.layer, "neurons": len(found.neuron), "do_not_vary": found.left_out.tolist(),
        "cosine": {str(q): float(np.quantile(last, q)) for q in (0.25, 0.5, 0.75)},
        "mean_cosine_by_atoms": _mean(found.cosine), "mean_null_cosine_by_atoms": _mean(found.null_cosine),
        "mean_within": float(found.within.mean()),
        "median_held_cosine": _median(found.held_cosine), "median_held_component": _median(found.held_component),
        "held_out_neurons": int(np.isfinite(found.held_cosine).sum()),
    }  # fmt: skip


def _mean(curves: Float[np.ndarray, "M S"]) -> list[float]:
    return curves.mean(axis=0, dtype=np.float64).tolist()


def _median(values: Float[np.ndarray, " M"]) -> float:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if len(known) else float("nan")
