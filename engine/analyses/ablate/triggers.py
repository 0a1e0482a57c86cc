"""Do a neuron's words say what triggers it? Rank correlation over prompts held out, beside other neurons' words.

    size[p, n]       |phi_n(p) - E phi_n|: how much neuron n does on prompt p
    likeness[p, n]   <x_n, mean over the prompt's tokens t of a_t>,    a_t = (u_t - mean_v u_v) / |u_t - mean_v u_v|

x_n is the direction that the neuron's words make, u the unembedding. Where words say what a neuron answers to, it does
more on prompts whose tokens are like them. The null deals the words anew among the neurons of a layer: prompts that are
alike, and words that all neurons share, correlate for every neuron. p is of the mean over neurons; it is exact for
neurons that are alike but for their words.

Shapes: B prompts held out, M neurons of a layer, D model. Cost: a pass over the unembedding, M^2 B a layer.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy import stats

from causeway.engine.analyses.ablate.ablate import Ablation, Layer
from causeway.engine.analyses.ablate.substitutions import SPARSE
from causeway.engine.analyses.components.code_sweep import codes_of
from causeway.engine.analyses.components.neuron_components import chunk_neurons, gram_program, maps_of, sizes_of
from causeway.engine.analyses.decompose.lexicon import centred_columns

DEALS = 999
_PURPOSE = 11


def words_and_triggers(given: Ablation, seed: int = 0) -> dict[str, Any] | None:
    """The mean correlation of neurons' sizes with the likeness of prompts to their words; None without words.

    Args:
        given: with what the neurons' words make of their components. seed: of the deals.

    Returns:
        neurons, prompts, correlation, by_chance (the mean over other neurons' words) and p, one-sided.
    """
    prompts = _tokens(given)
    tables = [
        _correlations(given, at, layer, prompts) for at, layer in given.layers.items() if SPARSE in layer.directions
    ]
    tables = [table for table in tables if len(table) > 1]
    if not tables:
        return None
    count = sum(map(len, tables))
    own = sum(float(np.trace(table)) for table in tables) / count
    others = sum(float(table.sum() - np.trace(table)) for table in tables)
    pairs = sum(len(table) * (len(table) - 1) for table in tables)
    rng, reached = np.random.default_rng((seed, _PURPOSE)), 0
    for _ in range(DEALS):
        dealt = sum(float(table[np.arange(len(table)), rng.permutation(len(table))].sum()) for table in tables) / count
        reached += dealt >= own - 1e-12
    return {
        "neurons": count, "prompts": len(given.numbers), "correlation": own, "by_chance": others / pairs,
        "p": (1 + reached) / (1 + DEALS),
    }  # fmt: skip


def _tokens(given: Ablation) -> Float[np.ndarray, "B D"]:
    """Each prompt's mean token, as a direction that words are of."""
    columns = centred_columns(given.model)
    sizes = np.linalg.norm(columns, axis=1, keepdims=True)
    atoms = np.divide(columns, sizes, out=np.zeros_like(columns), where=sizes > 0)
    return np.stack([atoms[list(prompt.tokens)].mean(axis=0) for prompt in given.prompts])


def _correlations(
    given: Ablation, at: int, layer: Layer, prompts: Float[np.ndarray, "B D"]
) -> Float[np.ndarray, "m m"]:
    """Of each neuron's sizes [row] with the likeness to each neuron's words [column], of those where both vary."""
    likeness, sizes = prompts @ layer.directions[SPARSE].T, _sizes(given, at, layer)
    vary = (np.ptp(likeness, axis=0) > 0) & (np.ptp(sizes, axis=0) > 0)
    return _ranked(sizes[:, vary]).T @ _ranked(likeness[:, vary])


def _ranked(values: Float[np.ndarray, "B m"]) -> Float[np.ndarray, "B m"]:
    """Ranks of each column at mean 0 and length 1."""
    ranks = stats.rankdata(values, axis=0)
    ranks = ranks - ranks.mean(axis=0)
    return ranks / np.linalg.norm(ranks, axis=0)


def _sizes(given: Ablation, at: int, layer: Layer) -> Float[np.ndarray, "B M"]:
    """How much each neuron does on the prompts held out, about its mean over those that chose."""
    own, config = layer.components.neuron, given.model.config
    size = chunk_neurons(len(given.chosen), codes_of(config, at), config.d_model, 1, 4)
    parts = []
    for start in range(0, len(own), size):
        part = slice(start, min(start + size, len(own)))
        codes = given.codes.of(at, part)
        gram = gram_program(maps_of(given.model.transformer, at, own[part]))
        parts.append(sizes_of(codes, given.numbers, codes[given.chosen].mean(axis=0), gram))
    return np.concatenate(parts, axis=1)


def line(found: Mapping[str, Any]) -> str:
    """For people."""
    return (
        f"words and what triggers a neuron: rank correlation {found['correlation']:+.3f} in the mean of "
        f"{found['neurons']} neurons, {found['by_chance']:+.3f} with the words of others, p {found['p']:.2g}"
    )
