"""One target before all: does the plan's first step run on this model, and what does it take?

Discovery of one target on a few prompts, and what the plan of the study asks of it: that it runs, that all layers have
activations, that candidates are found, and that memory stays below 20 GB; and that the target is active on a prompt.

    upstream    of each lower layer the `TOP` sources of largest mean |effect|
    memory      the largest resident memory of the process, and of an accelerator where there is one
"""

import time
from typing import Any

import numpy as np
import pyarrow as pa

from causeway.engine.analyses.pathways.discovery_requests import discover
from causeway.engine.analyses.pathways.passes import Passes
from causeway.engine.analyses.pathways.pathways import Asked
from causeway.engine.analyses.pathways.replay import prompt_groups
from causeway.engine.analyses.pathways.selection import KEYS
from causeway.engine.earlier_results import feature_name
from causeway.engine.memory import device_memory_bytes, peak_memory_bytes

TOP = 10
# The plan's bound, in GB.
MOST_MEMORY = 20.0


def prototype(asked: Asked, *, memory_limit: float = MOST_MEMORY) -> dict[str, Any]:
    """The plan's single-feature test, JSON-able.

    Args:
        asked: with one target; its prompts of both halves are read.

    Raises:
        ValueError: several targets, or one that cannot be read.
    """
    if len(asked.targets) != 1:
        raise ValueError(f"prototype: got {len(asked.targets)} targets; needs one")
    began, records = time.perf_counter(), (*asked.choosing, *asked.estimating)
    layer, feature = asked.targets.pairs[0]
    table = discover(
        asked.model, asked.dictionary, records, ([layer], [feature]), reduce="sum", top=TOP, seed=asked.settings.seed,
        **asked.gradients,
    )  # fmt: skip
    activation = _activation(asked, records)
    upstream = _upstream(table, len(records))
    seconds = time.perf_counter() - began
    host, device = peak_memory_bytes() / 1e9, device_memory_bytes() / 1e9
    below = [at for at in asked.dictionary.config.layers if at < layer]
    with_activations = sorted({row["source_layer"] for row in upstream})
    criteria = {
        "runs": True,
        "activations_at_all_layers": with_activations == below,
        "candidates_identified": bool(upstream),
        "target_active": activation["active_prompts"] > 0,
        "memory": max(host, device) < memory_limit,
    }
    return {
        "feature": feature_name(layer, feature), "layer": layer, "feature_id": feature, "prompts": len(records),
        "activation": activation, "upstream_candidates": upstream, "seconds": seconds,
        "peak_memory_gb": host, "device_memory_gb": device or None, "memory_limit_gb": memory_limit,
        "layers_below": below, "criteria": criteria, "passed": all(criteria.values()),
    }  # fmt: skip


def _activation(asked: Asked, records: Any) -> dict[str, Any]:
    """Of the target on each prompt."""
    prompts = asked.placed(records)
    found = np.zeros(len(prompts))
    for numbers in prompt_groups(asked.model.config, prompts):
        some = [prompts[number] for number in numbers]
        known = asked.targets, asked.settings.derivative, asked.parallel
        passes = Passes(asked.model, asked.dictionary, some, *known)
        found[numbers] = passes.clean[:, 0, 1]
    return {"mean": float(found.mean()), "max": float(found.max()), "active_prompts": int((found != 0).sum())}


def _upstream(table: pa.Table, prompts: int) -> list[dict[str, Any]]:
    """The strongest sources of each layer, means over prompts; one that a prompt does not list counts as 0 there."""
    columns = {name_: table[name_].to_numpy() for name_ in (*KEYS[2:], "activation", "gradient", "effect")}
    keys, which = np.unique(np.stack([columns[key] for key in KEYS[2:]], axis=1), axis=0, return_inverse=True)
    means = {
        value: np.bincount(which.reshape(-1), columns[value]) / prompts
        for value in ("activation", "gradient", "effect")
    }
    size = np.bincount(which.reshape(-1), np.abs(columns["effect"])) / prompts
    rows = []
    for layer in np.unique(keys[:, 0]):
        mine = np.flatnonzero(keys[:, 0] == layer)
        for number in mine[np.argsort(-size[mine], kind="stable")][:TOP]:
            row = {
                "source": feature_name(*keys[number].tolist()),
                "source_layer": int(layer),
                "source_feature": int(keys[number, 1]),
            }
            rows.append(row | {value: float(column[number]) for value, column in means.items()})
    return rows


def lines(found: dict[str, Any]) -> list[str]:
    """A report of one screen."""
    activation, criteria = found["activation"], found["criteria"]
    out = [
        f"{found['feature']}: activation {activation['mean']:.3g} in the mean of {found['prompts']} prompts, active on "
        f"{activation['active_prompts']}",
        f"{len(found['upstream_candidates'])} upstream candidates in {len(found['layers_below'])} lower layers; "
        f"{found['seconds']:.1f} s, {found['peak_memory_gb']:.2f} GB",
    ]
    out += [f"  {'pass' if holds else 'FAIL'}  {criterion.replace('_', ' ')}" for criterion, holds in criteria.items()]
    return [*out, "passed" if found["passed"] else "failed"]
