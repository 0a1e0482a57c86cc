"""Tables of responses with what is needed of them."""

import pyarrow as pa

from causeway.engine.earlier_results import RESPONSES


def table(rows):
    """`RESPONSES` of (layer, feature, context, arm, prompt, trial, response)."""
    names = ("layer", "feature", "context", "arm", "prompt", "trial", "response")
    return pa.Table.from_pylist([dict(zip(names, row, strict=True)) for row in rows], RESPONSES)


def sampled(rng, arms, *, features=2, context="risky", prompts=1, trials=12, shared=False, length=8, words=None):
    """Random texts: (layer, feature, context, arm, prompt, trial, response) of every arm.

    Args:
        words: what texts are made of; the more frequent ones first. shared: the baseline stands for every feature.
    """
    words = words or ["the", "bet", "bets", "stop", "$10", "10", "win", "risk", "go", "on", "careful", "target"]
    weight = 1 / (1.0 + rng.permutation(len(words)))
    rows = []
    for feature in range(features):
        for arm in arms:
            every = shared and arm == "baseline"
            if every and feature:
                continue
            for prompt in range(prompts):
                for trial in range(trials):
                    size = rng.integers(1, 2 * length)
                    text = " ".join(rng.choice(words, size, p=weight / weight.sum()))
                    place = (-1, -1) if every else (1, feature)
                    name = context if prompts == 1 else f"{context}{prompt}"
                    rows.append((*place, context, arm, name, trial, text))
    return rows
