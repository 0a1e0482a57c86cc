"""Split of prompts into a selection half and an estimation half.

What is selected on one set of prompts looks stronger there than it is (the winner's curse); tested on half the prompts
and estimated on the other, the estimate is unbiased. The order is that of a keyed hash of each prompt's id, alternate
prompts of the order going to alternate halves, within each stratum: sizes differ by at most one, and neither the order
of the rows nor anything measured on them has a say.

Shapes: prompt ids [P] -> bool [P].
"""

import hashlib
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Int

from causeway.engine import scalars


def selection_half(
    prompt_ids: Int[np.ndarray, " P"], strata: Sequence[str] | None = None, *, seed: int
) -> Bool[np.ndarray, " P"]:
    """True for the prompts of the selection half, False for those of the estimation half.

    Args:
        prompt_ids: distinct ids.
        strata: the stratum (context) of each prompt; each is halved by itself.
        seed: key of the hash.

    Raises:
        ValueError: an id comes twice.
    """
    ids, seed = np.asarray(prompt_ids), scalars.seed(seed)
    if len(np.unique(ids)) != len(ids):
        raise ValueError(f"prompt_ids: {len(ids)} given, {len(np.unique(ids))} distinct; give each prompt once")
    labels = np.asarray(["" for _ in ids] if strata is None else list(strata), dtype=str)
    ranks = np.asarray([hashlib.blake2b(f"{seed}:{i}".encode(), digest_size=8).hexdigest() for i in ids], dtype=str)
    chosen = np.zeros(len(ids), dtype=bool)
    first = 0
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        chosen[members[np.argsort(ranks[members])][first::2]] = True
        # The odd prompt of a stratum goes to either half in turn, or strata of one prompt would all go to one.
        first ^= len(members) % 2
    return chosen
