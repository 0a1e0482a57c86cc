"""Minimal pairs: for each prompt another one that wants its wrong answer, token by token beside it.

Patching puts a partner's activations into a prompt. That means something only where the two have the same number of
tokens, and where what is patched plays the same part in both: a position is its own partner's position, or that of the
role of the same name. The partner is the prompt's own counterfactual, where its line names one of equal length, else
another prompt of the run.
"""

import collections
import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

from causeway.engine.analyses.attribute.prompts import CircuitPrompt


def minimal_pairs(prompts: Sequence[CircuitPrompt]) -> dict[int, CircuitPrompt]:
    """Each prompt's partner: its counterfactual, or one of its behaviour, split and length with its wrong answer right.

    Of several, one whose answers are the same two swapped, with most tokens in common; the first of equals. Prompts
    without any are left out.

    Raises:
        ValueError: no prompt has a partner.
    """
    wanting = collections.defaultdict(list)
    for prompt in prompts:
        wanting[_kind(prompt), prompt.answers and prompt.answers[0]].append(prompt)
    found = {}
    for i, prompt in enumerate(prompts):
        partner = _counterfactual(prompt) or _likest(
            prompt, wanting[_kind(prompt), prompt.answers and prompt.answers[1]]
        )
        if partner is not None:
            found[i] = partner
    if not found:
        raise ValueError(
            f"patch: none of {len(prompts)} prompts has a partner; needs a counterfactual_prompt of equal token "
            "length, or pairs of prompts of equal token length of which one's right answer is the other's wrong one"
        )
    return found


def _kind(prompt: CircuitPrompt) -> tuple[str, str, int]:
    return prompt.behaviour, prompt.split, len(prompt.tokens)


def _counterfactual(prompt: CircuitPrompt) -> CircuitPrompt | None:
    if prompt.counterfactual is None or prompt.answers is None:
        return None
    right, wrong = prompt.answers
    name = f"{prompt.id} (counterfactual)"
    return dataclasses.replace(prompt, id=name, tokens=prompt.counterfactual, targets=None, answers=(wrong, right))


def _likest(prompt: CircuitPrompt, others: Sequence[CircuitPrompt]) -> CircuitPrompt | None:
    fitting = [other for other in others if other.tokens != prompt.tokens]
    return max(fitting, key=lambda other: _likeness(prompt, other), default=None) if prompt.answers else None


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
