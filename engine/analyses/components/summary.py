"""What components come to: a page for people, and the original's own quantities beside it."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Bool

from causeway.engine.analyses.components.code_sweep import CodeSweep
from causeway.engine.analyses.components.components import FLOATS
from causeway.engine.sweep.environment import environment

UNITS = {
    "space": "final_norm: inner products with columns of the unembedding are logits",
    "variance": "sum over coordinates, of prompts that choose",
    "explained": "share of that variance along the component",
    "explained_held_out, single_head, published_held_out": "shares of squared deviations from the mean effect of the "
    "prompts that choose, on prompts held out",
    "random_direction": "1 / rank of the neuron's map: the mean share of a direction drawn from its row space",
    "gini, participation_ratio, mass_top_1, mass_top_5, mass_top_10": "of sizes of deviations, over prompts held out; "
    "the ratio in prompts, masses as shares of the sum that the largest 1, 5 and 10 % of the prompts hold",
    "threshold": "the smallest of the `largest` largest sizes on prompts that choose",
    "share_above": "share of prompts held out with a larger size than the threshold",
}


def about(
    sweep: CodeSweep, table: pa.Table, chosen: Bool[np.ndarray, " P"], how: str, settings: Mapping[str, Any]
) -> dict[str, Any]:
    """How components were made and what they come to, as JSON values.

    Args:
        table: of all neurons. chosen: prompts that chose. how: they were told. settings: further ones.
    """
    return {
        "model": sweep.model.name, "prompts": len(sweep.prompts), **settings,
        "chosen": {"how": how, "prompts": int(chosen.sum()), "held_out": np.flatnonzero(~chosen).tolist()},
        "neurons": len(table), "without_variance": int(len(table) - np.sum(table["varies"].to_numpy())),
        "by_layer": layer_summaries(table), "units": UNITS, "environment": environment(),
    }  # fmt: skip


def layer_summaries(table: pa.Table) -> list[dict[str, Any]]:
    """Medians over each layer's neurons that vary."""
    layers = table["layer"].to_numpy()
    return [_summary(int(layer), table.filter(pa.array(layers == layer))) for layer in np.unique(layers)]


def _summary(layer: int, rows: pa.Table) -> dict[str, Any]:
    told = rows.filter(rows["varies"])
    medians = {name: float(np.median(told[name].to_numpy())) for name in FLOATS} if len(told) else {}
    total = float(rows["variance"].to_numpy().sum())
    return {"layer": layer, "neurons": len(rows), "vary": len(told), "total_variance": total, "medians": medians}


def as_published(table: pa.Table, chosen: Bool[np.ndarray, " P"], k: int) -> dict[str, Any]:
    """What the original reports, as it reports it.

    Its sparsity is the share of prompts beyond the k-th largest effect, of the prompts that the k were taken from: k of
    them by definition, whatever the neuron does. Its component is the direction of these k alone.
    """
    told = table.filter(table["varies"])
    return {
        "largest": k, "prompts": int(chosen.sum()), "share_of_prompts": k / int(chosen.sum()),
        "share_of_prompts_is": "by definition of the threshold, whatever the neurons do",
        "median_explained_held_out": float(np.median(told["published_held_out"].to_numpy())) if len(told) else None,
        "median_cosine_with_component": float(np.median(told["published_cosine"].to_numpy())) if len(told) else None,
    }  # fmt: skip


def lines(about: Mapping[str, Any]) -> list[str]:
    """A table for people."""
    chosen = about["chosen"]
    head = (
        f"{chosen['prompts']} prompts choose, {len(chosen['held_out'])} are held out ({chosen['how']}); medians over "
        f"neurons, {about['without_variance']} of {about['neurons']} left out whose effect does not vary"
    )
    columns = "layer  neurons  PC1, held out  PC1, chosen  one head  random   Gini  above threshold"
    return [head, columns, *_layer_lines(about["by_layer"])]


def _layer_lines(layers: Sequence[Mapping[str, Any]]) -> list[str]:
    made = []
    for one in layers:
        start, m = f"{one['layer']:5d}  {one['vary']:7d}", one["medians"]
        if not m:
            made.append(f"{start}  no effect differs between prompts")
            continue
        made.append(
            f"{start}  {m['explained_held_out']:13.1%}  {m['explained']:11.1%}  {m['single_head']:8.1%}  "
            f"{m['random_direction']:6.1%}  {m['gini']:5.2f}  {m['share_above']:15.1%}"
        )
    return made
