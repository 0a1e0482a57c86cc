"""Which prompts choose, and which are held out to say what the choice is worth.

Prompts of the split `train` choose where there are prompts of others too; else a share of the groups is held out, by a
hash of their names. All prompts of a group (a question, the operands of a sum) are on one side.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool

from causeway.engine.prompt_record import PromptRecord
from causeway.engine.stats.splits import held_out

TRAIN = "train"


def by_split(records: Sequence[PromptRecord]) -> bool:
    """Whether the records' own splits say which prompts choose."""
    return {True, False} == {record.split == TRAIN for record in records}


def divided(
    records: Sequence[PromptRecord], share: float, choose_on: str = "", seed: int = 0
) -> Bool[np.ndarray, " P"]:
    """Which prompts of the task choose; the others are held out.

    Args:
        share: of the groups (prompts that name none are one each) held out. choose_on: the split that chooses instead.

    Raises:
        ValueError: nothing on one side.
    """
    if choose_on:
        chosen = np.array([record.split == choose_on for record in records])
        there = ", ".join(dict.fromkeys(record.split or "none" for record in records))
        if chosen.all() or not chosen.any():
            raise ValueError(f"choose_on: got {choose_on!r}; the prompts have the splits {there}; needs one of several")
        return chosen
    if not records:
        raise ValueError("prompts: got none; needs some that choose and some that are held out")
    clusters = sorted({record.cluster for record in records})
    if not share:
        raise ValueError("held_out: got 0; what a chosen setting is worth takes prompts that did not choose it")
    apart = dict(zip(clusters, held_out(clusters, share, seed).tolist(), strict=True))
    return np.array([not apart[record.cluster] for record in records])
