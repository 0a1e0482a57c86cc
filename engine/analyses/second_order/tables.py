"""What scores of many prompts come to: tables of neurons, of heads and of layers.

    effect    mean over prompts of a score of order 1 (second order), with its interval and p from `stats.paired`, and q
              over all neurons of a direction
    direct    the same mean of order 0; order_2, ... of higher orders
    mean_abs  mean of |score|: how much a neuron does, whichever way
    deviation of the score over prompts: much of what neurons do is the same whatever the prompt, as is what they bring
              from an attention sink at position 0
    mass      of a layer: the sum over its neurons of mean_abs; share: of all layers'; centred_mass: the same of scores
              less their means over prompts

The unit is the prompt. Tables of neurons are sorted by |effect|, so the first are also the luckiest: what is to be said
of the strongest is to be estimated on other prompts.

Shapes: P prompts, L layers, O orders, R directions, N neurons.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Float

from causeway.engine.neurons import Neurons
from causeway.engine.stats.multiple import Method, adjust
from causeway.engine.stats.paired import paired_mean

SECOND = 1


def neuron_rows(layer: int, names: Sequence[str], scores: Float[np.ndarray, "P O R N"]) -> pa.Table:
    """Each neuron of one layer on each direction; q and order come when all layers are there (`neuron_table`)."""
    parts = []
    for r, name in enumerate(names):
        own = np.asarray(scores[:, :, r], np.float64)
        mean, found = own.mean(axis=0), paired_mean(own[:, SECOND].T)
        higher = {f"order_{order}": mean[order] for order in range(2, len(mean))}
        parts.append(pa.table({
            "layer": np.full(own.shape[2], layer, np.int32), "neuron": np.arange(own.shape[2], dtype=np.int32),
            "direction": [name] * own.shape[2], "effect": found.effect, "low": found.low, "high": found.high,
            "p": found.p, "mean_abs": np.abs(own[:, SECOND]).mean(axis=0), "deviation": _deviation(own[:, SECOND]),
            "direct": mean[0], **higher, "prompts": found.prompts,
        }))  # fmt: skip
    return pa.concat_tables(parts)


def _deviation(scores: Float[np.ndarray, "P N"]) -> Float[np.ndarray, " N"]:
    """Standard deviation over prompts; NaN of one."""
    return scores.std(axis=0, ddof=1) if len(scores) > 1 else np.full(scores.shape[1], np.nan)


def neuron_table(rows: Sequence[pa.Table], correction: Method = "bh") -> pa.Table:
    """All layers' neurons with q over those of a direction, each direction's strongest first."""
    table = pa.concat_tables(rows)
    direction, p = np.array(table["direction"].to_pylist()), table["p"].to_numpy()
    q = np.full(len(table), np.nan)
    for name in np.unique(direction):
        q[direction == name] = adjust(p[direction == name], correction).q
    table = table.add_column(table.column_names.index("p") + 1, "q", pa.array(q))
    first = {name: number for number, name in enumerate(dict.fromkeys(direction.tolist()))}
    order = np.lexsort((-np.abs(table["effect"].to_numpy()), [first[name] for name in direction]))
    return table.take(pa.array(order))


def strongest(table: pa.Table, count: int) -> Neurons:
    """The first neurons of each direction of a table, each once."""
    direction = table["direction"].to_pylist()
    taken = dict.fromkeys(direction, 0)
    pairs: dict[tuple[int, int], None] = {}
    for name, layer, neuron in zip(direction, *(table[c].to_pylist() for c in ("layer", "neuron")), strict=True):
        if taken[name] < count:
            taken[name] += 1
            pairs[layer, neuron] = None
    return Neurons(*np.array(list(pairs)).T)


def head_table(neurons: Neurons, names: Sequence[str], parts: Float[np.ndarray, "P M L H R"]) -> pa.Table:
    """Each head's part in the score of each neuron, the largest parts of a neuron first; layers below it left out."""
    parts = np.asarray(parts, np.float64)
    count, heads = len(parts), parts.shape[3]
    rows = []
    for m, (layer, neuron) in enumerate(zip(neurons.layer.tolist(), neurons.neuron.tolist(), strict=True)):
        for r, name in enumerate(names):
            own = parts[:, m, layer + 1 :, :, r].reshape(count, -1)
            found = paired_mean(own.T)
            head_layer, head = np.divmod(np.arange(own.shape[1]), heads)
            order = np.argsort(-np.abs(found.effect), kind="stable")
            rows.append(pa.table({
                "layer": np.full(len(order), layer, np.int32), "neuron": np.full(len(order), neuron, np.int32),
                "direction": [name] * len(order), "head_layer": (head_layer + layer + 1)[order].astype(np.int32),
                "head": head[order].astype(np.int32), "effect": found.effect[order], "low": found.low[order],
                "high": found.high[order], "p": found.p[order],
            }))  # fmt: skip
    return pa.concat_tables(rows)


def layer_rows(layer: int, names: Sequence[str], scores: Float[np.ndarray, "P O R N"]) -> list[dict[str, Any]]:
    """What one layer's neurons bring together, order by order, with their mass."""
    rows = []
    for order, r in np.ndindex(scores.shape[1:3]):
        own = np.asarray(scores[:, order, r], np.float64)
        found = paired_mean(own.sum(axis=1)[None])
        rows.append({
            "layer": layer, "order": order, "direction": names[r], "effect": float(found.effect[0]),
            "low": float(found.low[0]), "high": float(found.high[0]), "mass": float(np.abs(own).mean(axis=0).sum()),
            "centred_mass": float(np.abs(own - own.mean(axis=0)).mean(axis=0).sum()),
        })  # fmt: skip
    return rows


def layer_table(
    rows: Sequence[list[dict[str, Any]]], mlp_biases: Float[np.ndarray, "P L O R"],
    attention: Float[np.ndarray, "P L O R"],
) -> pa.Table:  # fmt: skip
    """All layers' rows with their shares of an order's mass, and what belongs to no neuron."""
    listed = [row for layer in rows for row in layer]
    names = list(dict.fromkeys(row["direction"] for row in listed))
    total: dict[tuple[int, str], float] = {}
    for row in listed:
        key = row["order"], row["direction"]
        total[key] = total.get(key, 0.0) + row["mass"]
    for row in listed:
        place = row["layer"], row["order"], names.index(row["direction"])
        whole = total[row["order"], row["direction"]]
        row |= {
            "share": row["mass"] / whole if whole else None,
            "mlp_bias": float(mlp_biases[:, *place].mean()), "attention_constant": float(attention[:, *place].mean()),
        }  # fmt: skip
    return pa.Table.from_pylist(listed)
