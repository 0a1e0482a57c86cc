"""What ablating layers does: the critical ones, chosen on some prompts, and the table, estimated on others.

    effect      mean over prompts of (outcome under the ablation - clean outcome), nats; below 0: the layer helps
    accuracy    share of prompts whose outcome under the ablation is above 0
    drop        clean accuracy - accuracy, prompt by prompt

Paths: `total` has nothing held; `frozen` holds attention patterns, denominators of norms and the other MLPs' outputs,
as `constrained` does; `direct` holds what attentions write too, so that the stream itself is left, where only the
output position counts. A family of q is all layers of one stream, mode, scope and paths.

Critical are the layers whose MLP, its mean put in place of what it writes at all tokens, moves the outcome of the
choosing prompts most, whichever way.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Float

from causeway.engine.analyses.lens.effects import Effects
from causeway.engine.analyses.rank.ablation import Arm
from causeway.engine.analyses.rank.readings import MODES, SCOPES
from causeway.engine.stats.multiple import adjust
from causeway.engine.stats.paired import paired_mean

RULE = "the largest |mean change| of the outcome when the mean is put in place of what the MLP writes at all tokens"


def choosing_arms(layers: Sequence[int]) -> list[Arm]:
    """The ablations by which layers are chosen."""
    return [Arm(layer, "mlp_out", "mean", "all") for layer in layers]


def critical_layers(layers: Sequence[int], chosen: Effects, count: int) -> tuple[int, ...]:
    """The layers that matter most, the strongest first, from the arms of `choosing_arms`."""
    order = np.argsort(-np.abs(chosen.changes.mean(axis=0)), kind="stable")[:count]
    return tuple(layers[place] for place in order)


def layer_table(
    arms: Sequence[Arm],
    total: Effects,
    frozen: Float[np.ndarray, "P W L 2 2"],
    direct: Float[np.ndarray, "P W L 2"],
    written: Sequence[str],
    critical: Sequence[int],
    chosen: Effects,
    layers: Sequence[int],
) -> pa.Table:
    """A row a layer, stream, mode, scope and paths; see the module.

    Args:
        arms, total: the ablations that were run, and their outcomes.
        frozen, direct: changes of the outcome of the same prompts, of all layers of the model.
        written: the streams W.
        critical: the layers chosen.
        chosen, layers: the choosing prompts' outcomes, of `choosing_arms(layers)`.
    """
    found = paired_mean(chosen.changes.T)
    choosing = {arm: float(effect) for arm, effect in zip(choosing_arms(layers), found.effect, strict=True)}
    rows: list[dict[str, Any]] = []
    for paths in ("total", "frozen", "direct"):
        for places in _families(arms):
            one = arms[places[0]]
            if paths == "direct" and one.scope == "all":
                continue  # at the output position nothing else has a direct path
            where = written.index(one.stream), [arms[place].layer for place in places], MODES.index(one.mode)
            if paths == "total":
                changes = total.changes[:, places]
            elif paths == "frozen":
                changes = frozen[:, where[0], where[1], where[2], SCOPES.index(one.scope)]
            else:
                changes = direct[:, where[0], where[1], where[2]]
            own = choosing if paths == "total" else {}
            rows += _family([arms[place] for place in places], paths, changes, total.clean, critical, own)
    return pa.Table.from_pylist(rows)


def _families(arms: Sequence[Arm]) -> list[list[int]]:
    """Places of the arms that differ in their layer alone."""
    found: dict[tuple[str, str, str], list[int]] = {}
    for place, arm in enumerate(arms):
        found.setdefault((arm.stream, arm.mode, arm.scope), []).append(place)
    return list(found.values())


def _family(
    arms: Sequence[Arm], paths: str, changes: Float[np.ndarray, "P A"], clean: Float[np.ndarray, " P"],
    critical: Sequence[int], choosing: dict[Arm, float],
) -> list[dict[str, Any]]:  # fmt: skip
    effects = paired_mean(changes.T)
    right = clean[:, None] + changes > 0
    drops = paired_mean((clean[:, None] > 0).T.astype(float) - right.T)
    q = adjust(effects.p).q
    return [
        {
            "layer": arm.layer, "stream": arm.stream, "mode": arm.mode, "scope": arm.scope, "paths": paths,
            "effect": effects.effect[i], "low": effects.low[i], "high": effects.high[i], "p": effects.p[i], "q": q[i],
            "accuracy": right[:, i].mean(), "drop": drops.effect[i], "drop_low": drops.low[i],
            "drop_high": drops.high[i], "prompts": len(clean), "choosing_effect": choosing.get(arm),
            "critical": arm.layer in critical,
        }
        for i, arm in enumerate(arms)
    ]  # fmt: skip
