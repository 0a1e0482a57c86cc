"""A finished scores job as tables: read back layer by layer, so that memory holds some layers of all prompts.

Shapes: P prompts, L layers, O orders, R directions, N neurons. Memory: `READ_BYTES`, or one layer of all prompts.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Float

from causeway.engine.analyses.second_order import tables
from causeway.engine.analyses.second_order.scores import ScoresJob
from causeway.engine.frozen.job import kept_array
from causeway.engine.stats.multiple import Method
from causeway.engine.stats.paired import paired_mean

READ_BYTES = 2**30
# Layers whose share of the mass is told.
CONCENTRATED = 6


def kept_layers(job: ScoresJob, workdir: Path) -> Iterator[tuple[int, Float[np.ndarray, "P O R N"]]]:
    """Each layer's scores."""
    spec = job.arrays["neurons"]
    layer_bytes = len(job.prompts) * spec.row_bytes // len(job.layers)
    at_once = max(1, READ_BYTES // layer_bytes)
    for start in range(0, len(job.layers), at_once):
        chosen = job.layers[start : start + at_once]
        scores = kept_array(job, workdir, "neurons", slice(start, start + len(chosen)))
        yield from zip(chosen, np.moveaxis(scores, 1, 0), strict=True)


def result_tables(job: ScoresJob, workdir: Path, correction: Method) -> tuple[pa.Table, pa.Table]:
    """The tables of neurons and of layers."""
    neurons, layers = [], []
    for layer, scores in kept_layers(job, workdir):
        neurons.append(tables.neuron_rows(layer, job.aims.names, scores))
        layers.append(tables.layer_rows(layer, job.aims.names, scores))
    biases = (kept_array(job, workdir, name) for name in ("mlp_biases", "attention"))
    return tables.neuron_table(neurons, correction), tables.layer_table(layers, *biases)


def summary(job: ScoresJob, workdir: Path, layers: pa.Table) -> dict[str, Any]:
    """How much of each direction's number comes by which order, and where the second order's mass lies."""
    value, embedding = (kept_array(job, workdir, name) for name in ("value", "embedding"))
    parts = layers.to_pylist()
    return {
        name: _of_direction([row for row in parts if row["direction"] == name], value[:, r], embedding[:, :, r])
        for r, name in enumerate(job.aims.names)
    }


def _of_direction(
    rows: Sequence[Mapping[str, Any]], value: Float[np.ndarray, " P"], embedding: Float[np.ndarray, "P O"]
) -> dict[str, Any]:
    found = paired_mean(np.asarray(value, np.float64)[None])
    orders = []
    for order, first in enumerate(embedding.mean(axis=0).tolist()):
        own = [row for row in rows if row["order"] == order]
        sums = {name: sum(row[name] for row in own) for name in ("effect", "mlp_bias", "attention_constant")}
        orders.append({
            "order": order, "neurons": sums["effect"], "mlp_biases": sums["mlp_bias"],
            "attention_constants": sums["attention_constant"], "embedding": first,
            "mass": sum(row["mass"] for row in own), "centred_mass": sum(row["centred_mass"] for row in own),
        })  # fmt: skip
    return {
        "mean": float(found.effect[0]), "low": float(found.low[0]), "high": float(found.high[0]), "orders": orders,
        "concentration": _concentration([row for row in rows if row["order"] == tables.SECOND]),
    }  # fmt: skip


def _concentration(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The layers with most of the second order's mass, and their share; None of a few layers, or without any mass."""
    strongest = sorted(rows, key=lambda row: -row["mass"])[:CONCENTRATED]
    known = len(rows) > CONCENTRATED and strongest[0]["share"] is not None
    share = sum(row["share"] for row in strongest) if known else None
    return {"layers": [row["layer"] for row in strongest], "share": share}


def lines(found: Mapping[str, Any], neurons: pa.Table, count: int = 5) -> list[str]:
    """A report of one screen: what each order brings, and the neurons that do most and vary most on each direction."""
    out = []
    for name, one in found.items():
        interval = "" if np.isnan(one["low"]) else f" [{one['low']:+.3f}, {one['high']:+.3f}]"
        out.append(f"{name}: {one['mean']:+.3f}{interval} in the mean, of which")
        out += [_order_line(part) for part in one["orders"]]
        if (share := one["concentration"]["share"]) is not None:
            layers = ", ".join(map(str, one["concentration"]["layers"]))
            out.append(f"  second order: {share:.0%} of the neurons' mass lies in layers {layers}")
        own = neurons.filter(pc.equal(neurons["direction"], name))
        out += ["  most through one head, in the mean:", *map(_neuron_line, own.slice(0, count).to_pylist())]
        if len(own) and not np.isnan(own["deviation"][0].as_py()):
            varying = own.sort_by([("deviation", "descending")]).slice(0, count)
            out += ["  most different from prompt to prompt:", *map(_neuron_line, varying.to_pylist())]
    return out


def _order_line(part: Mapping[str, Any]) -> str:
    biases = part["mlp_biases"] + part["attention_constants"]
    return (
        f"  {part['order']} attentions passed: neurons {part['neurons']:+.3f}, embedding {part['embedding']:+.3f}, "
        f"biases {biases:+.3f}; neurons' mass {part['mass']:.3f}, {part['centred_mass']:.3f} about their means"
    )


def _neuron_line(row: Mapping[str, Any]) -> str:
    interval = "" if np.isnan(row["q"]) else f" [{row['low']:+.4f}, {row['high']:+.4f}], q {row['q']:.2g}"
    deviation = "" if np.isnan(row["deviation"]) else f", deviation {row['deviation']:.4f}"
    return (
        f"    {row['layer']}:{row['neuron']} {row['effect']:+.4f}{interval}{deviation}; {row['direct']:+.4f} directly"
    )
