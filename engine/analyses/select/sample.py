"""Representative prompts of each feature: a few, spread over the groups.

Where each prompt's activation of the feature is known, the prompts of a group are taken whose activation is nearest to
the group's median: what the feature does there is what it does on most. Else by a hash of feature and prompt, which
neither the order of the prompts nor a feature's neighbours change. Groups take turns, in the order they are met.

Shapes: P prompts, F features; [F, P] activations. Cost: a sort of the prompts for each feature.
"""

import hashlib
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from jaxtyping import Float, Int

from causeway.engine.prompt_record import PromptRecord

BY_ACTIVATION = "activation nearest to its median over the prompts of the group"
BY_HASH = "hash of feature and prompt"


def representative(
    names: Sequence[str],
    ids: Sequence[str],
    groups: Sequence[str],
    each: int,
    activations: Float[np.ndarray, "F P"] | None = None,
    seed: int = 0,
) -> tuple[list[Int[np.ndarray, " n"]], list[str]]:
    """The prompts of each feature.

    Args:
        names: of the features. ids, groups: of the prompts. each: prompts of a feature.
        activations: of each feature on each prompt, NaN where not known. seed: key of the hash.

    Returns:
        Indices of prompts of each feature, and how they were chosen.

    Raises:
        ValueError: no prompts.
    """
    if not ids:
        raise ValueError("prompts: none; needs at least one")
    labels = np.asarray(groups, dtype=str)
    chosen, how = [], []
    for row, name in enumerate(names):
        hashes = np.array([_hash(f"{seed}:{name}:{prompt}") for prompt in ids])
        own = None if activations is None else activations[row]
        known = own is not None and not np.isnan(own).all()
        chosen.append(_spread(labels, _distances(own, labels) if known and own is not None else None, hashes, each))
        how.append(BY_ACTIVATION if known else BY_HASH)
    return chosen, how


def aligned(activations: pa.Table, features: pa.Table, numbers: Sequence[str | None]) -> Float[np.ndarray, "F P"]:
    """What each feature was on each prompt, NaN where not known.

    Args:
        activations: layer, feature, prompt, activation, a row each. features: with layer and feature.
        numbers: the name that each prompt has in `activations`, None where it has none.
    """
    rows = {
        pair: i for i, pair in enumerate(zip(*(features[n].to_pylist() for n in ("layer", "feature")), strict=True))
    }
    columns = {number: i for i, number in enumerate(numbers) if number is not None}
    found = np.full((len(rows), len(numbers)), np.nan)
    for layer, feature, prompt, activation in zip(*(column.to_pylist() for column in activations.columns), strict=True):
        if (layer, feature) in rows and prompt in columns:
            found[rows[layer, feature], columns[prompt]] = activation
    return found


def numbered(records: Sequence[PromptRecord], known: Sequence[PromptRecord]) -> list[str | None]:
    """The id that each prompt has among the `known` ones: by its tokens, else by its text; None where it is none."""
    tokens = {record.tokens: record.id for record in known if record.tokens is not None}
    texts = {record.text: record.id for record in known if record.text}
    return [
        texts.get(record.text) if record.tokens is None else tokens.get(record.tokens, texts.get(record.text))
        for record in records
    ]


def _spread(labels: np.ndarray, distance: np.ndarray | None, hashes: np.ndarray, each: int) -> Int[np.ndarray, " n"]:
    """The first prompts of each group in turn."""
    keys = (hashes,) if distance is None else (hashes, distance)
    order = np.lexsort(keys)
    met = list(dict.fromkeys(labels.tolist()))
    turn = np.empty(len(labels), np.int64)
    for group in met:
        members = order[labels[order] == group]
        turn[members] = np.arange(len(members))
    rank = np.array([met.index(label) for label in labels.tolist()])
    return np.lexsort((rank, turn))[:each]


def _distances(values: Float[np.ndarray, " P"], labels: np.ndarray) -> Float[np.ndarray, " P"]:
    """From the median of the group; infinite where not known."""
    found = np.full(len(values), np.inf)
    for group in np.unique(labels):
        members = (labels == group) & ~np.isnan(values)
        if members.any():
            found[members] = np.abs(values[members] - np.median(values[members]))
    return found


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=7).digest(), "big")
