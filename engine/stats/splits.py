"""Splits of prompts: what is chosen or selected on some is estimated on the others.

The strongest of many noisy means is partly the luckiest: estimated on the prompts that chose it, its mean is too large
and its interval misses the truth more often than it says (the winner's curse). Where other prompts estimate, both are
right, at the price of the prompts that chose. The prompt is the unit: all that is read of one lies on one side.

Sides follow the order of a keyed hash of each prompt's id, so neither the order of the prompts nor anything measured on
them has a say.

Shapes: P prompts.
"""

import hashlib
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Int, Shaped

from causeway.engine import scalars


def selection_half(
    prompt_ids: Shaped[np.ndarray, " P"], strata: Sequence[str] | None = None, *, seed: int
) -> Bool[np.ndarray, " P"]:
    """True for the prompts of the selection half, False for those of the estimation half.

    Alternate prompts of the order go to alternate halves, within each stratum, so sizes differ by one at most.

    Args:
        prompt_ids: distinct ids, numbers or texts.
        strata: the stratum (context) of each prompt; each is halved by itself.
        seed: key of the hash.

    Raises:
        ValueError: an id comes twice.
    """
    ids = np.asarray(prompt_ids)
    if len(np.unique(ids)) != len(ids):
        raise ValueError(f"prompt_ids: {len(ids)} given, {len(np.unique(ids))} distinct; give each prompt once")
    labels = np.asarray(["" for _ in ids] if strata is None else list(strata), dtype=str)
    ranks = _hashes(ids.tolist(), str(scalars.seed(seed)))
    chosen = np.zeros(len(ids), dtype=bool)
    first = 0
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        chosen[members[np.argsort(ranks[members])][first::2]] = True
        # The odd prompt of a stratum goes to either half in turn, or strata of one prompt would all go to one.
        first ^= len(members) % 2
    return chosen


def check_share(share: float) -> None:
    """Refuse what is no share.

    Raises:
        ValueError: outside [0, 1).
    """
    if not 0 <= scalars.real(share, "held_out") < 1:
        raise ValueError(f"held_out: got {share}; needs a share of the prompts, at least 0 and below 1")


def held_out(ids: Sequence[str | int], share: float, seed: int = 0) -> Bool[np.ndarray, " P"]:
    """Which prompts are held out for the estimates: the first `share` of the order, at least one on each side.

    One more prompt moves one of the others at most.

    Raises:
        ValueError: a share outside [0, 1), or one above 0 of fewer than two prompts.
    """
    check_share(share)
    mask, seed = np.zeros(len(ids), bool), scalars.seed(seed)
    if not share:
        return mask
    if len(ids) < 2:
        raise ValueError(f"held_out: {len(ids)} prompts cannot be split; needs two or more, or a share of 0")
    count = min(max(round(share * len(ids)), 1), len(ids) - 1)
    mask[np.argsort(_hashes(ids, f"held out:{seed}"), kind="stable")[:count]] = True
    return mask


def folds(
    ids: Sequence[str | int], count: int, strata: Sequence[str] | None = None, seed: int = 0
) -> Int[np.ndarray, " P"]:
    """The number of each id's fold: those of a stratum go to all folds in turn, in the order of the hash.

    Args:
        ids: distinct ones, of prompts or of groups of them.
        count: how many folds.
        strata: of each id, such as a label; None for one.

    Raises:
        ValueError: fewer ids than folds.
    """
    if not 2 <= count <= len(ids):
        raise ValueError(f"folds: got {count} of {len(ids)}; needs two or more, and one id each at least")
    hashes = _hashes(ids, f"folds:{scalars.seed(seed)}")
    order = np.lexsort((hashes, np.asarray(["" for _ in ids] if strata is None else list(strata), dtype=str)))
    found = np.zeros(len(ids), np.int32)
    found[order] = np.arange(len(ids)) % count
    return found


def keyed_order(ids: Sequence[str | int], key: str) -> Int[np.ndarray, " P"]:
    """Numbers of the ids in the order of their hash under a key: an order by chance that no other id changes."""
    return np.argsort(_hashes(ids, key), kind="stable")


def _hashes(ids: Sequence[str | int], key: str) -> Shaped[np.ndarray, " P"]:
    """Texts to sort prompts by."""
    return np.asarray([hashlib.blake2b(f"{key}:{i}".encode(), digest_size=8).hexdigest() for i in ids], dtype=str)
