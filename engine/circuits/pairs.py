"""Minimal pairs: for each prompt another one that wants its wrong answer, token by token beside it.

Patching puts a partner's activations into a prompt. That means something only where the two have the same number of
tokens, and where what is patched plays the same part in both: a position is its own partner's position, or that of the
role of the same name.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

from causeway.engine.attribution.prompts import CircuitPrompt


def minimal_pairs(prompts: Sequence[CircuitPrompt]) -> dict[int, int]:
    """Each prompt's partner: same behaviour, split and length, right answer the other's wrong one.

    Of several, one whose answers are the same two swapped, with most tokens in common; the first of equals. Prompts
    without any are left out.

    Raises:
        ValueError: no prompt has a partner.
    """
    found = {}
    for i, prompt in enumerate(prompts):
        ranked = [(_likeness(prompt, other), -j) for j, other in enumerate(prompts) if j != i and _fits(prompt, other)]
        if ranked:
            found[i] = -max(ranked)[1]
    if not found:
        raise ValueError(
            f"patch: none of {len(prompts)} prompts has a partner; needs pairs of equal token length of which one's "
            "right answer is the other's wrong one"
        )
    return found


def _fits(prompt: CircuitPrompt, other: CircuitPrompt) -> bool:
    same = (prompt.behaviour, prompt.split, len(prompt.tokens)) == (other.behaviour, other.split, len(other.tokens))
    if not same or prompt.answers is None or other.answers is None:
        return False
    return other.answers[0] == prompt.answers[1] and prompt.tokens != other.tokens


def _likeness(prompt: CircuitPrompt, other: CircuitPrompt) -> tuple[bool, int]:
    shared = sum(a == b for a, b in zip(prompt.tokens, other.tokens, strict=True))
    return prompt.answers == (other.answers or ())[::-1], shared


def aligned(prompt: CircuitPrompt, partner: CircuitPrompt) -> Int[np.ndarray, " T"]:
    """The partner's position for each position of a prompt.

    Raises:
        ValueError: prompts of different length.
    """
    if len(prompt.tokens) != len(partner.tokens):
        raise ValueError(
            f"patch: prompt {prompt.id} has {len(prompt.tokens)} tokens and {partner.id} {len(partner.tokens)}; "
            "needs pairs of equal length"
        )
    places = np.arange(len(prompt.tokens))
    for role in prompt.roles.keys() & partner.roles.keys():
        places[prompt.roles[role]] = partner.roles[role]
    return places
