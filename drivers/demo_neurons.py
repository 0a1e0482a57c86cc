"""The demo's third part: what neurons do to a sum through later attention heads, and which words say it.

For additions, every neuron's second-order effect on the difference of two answers' logits: what it does through exactly
one later head. The strongest neurons' main directions are then written as a few tokens.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from causeway.engine.analyses.second_order.request import SecondOrder
    from causeway.engine.model.handle import Model

# The wrong answer is ten more: the answers part where the model writes the tens.
SUMS = tuple((a, b) for a in (21, 34, 43, 52) for b in (15, 26, 34, 45, 37, 42))
SHOWN, WORDS = 3, 4


def show_neurons(model: Model) -> None:
    """Score all neurons, print the strongest and their words."""
    import causeway as cw

    prompts = [(f"{a}+{b}=", f"{a + b}.", f"{a + b + 10}.") for a, b in SUMS]
    found = cw.second_order(model, prompts, orders=2)
    count = len(found.layers) * found.scores.shape[-1]
    print(f"\nsecond-order effects of all {count} neurons on {len(prompts)} sums, such as {prompts[0][0]!r}")
    print(f"  target: logit of the right answer less that of one ten too large, {found.value.mean():.2f} in the mean")
    _orders(found)
    rows = {}
    for row in found.table.slice(0, SHOWN).to_pylist():
        rows[row["layer"], row["neuron"]] = row
    for (layer, neuron), words in _words(model, prompts, tuple(rows)).items():
        row = rows[layer, neuron]
        print(
            f"  layer {layer} neuron {neuron:>3}: {row['effect']:+.2f} [{row['low']:+.2f}, {row['high']:+.2f}] through "
            f"one head; its direction in words: {words}"
        )


def _orders(found: SecondOrder) -> None:
    names = ("directly", "through one head", "through two heads")
    parts = [f"{found.scores[:, :, order].sum(axis=(1, 3)).mean():+.2f} {name}" for order, name in enumerate(names)]
    print(f"  all neurons together: {', '.join(parts)}")


def _words(
    model: Model, prompts: list[tuple[str, str, str]], pairs: tuple[tuple[int, int], ...]
) -> dict[tuple[int, int], str]:
    """Each neuron's main direction over the prompts as a few tokens with their weights."""
    import numpy as np

    import causeway as cw

    chosen = cw.Neurons(*np.array(pairs).T)
    lexicon = cw.lexicon(model)
    by_layer = cw.components(model, prompts, neurons=chosen, largest=8).layers
    told = {}
    for layer, of_layer in by_layer.items():
        words = cw.decompose(model, of_layer.components, lexicon, atoms=WORDS, null_draws=0)
        for neuron, entries in zip(words.neuron.tolist(), words.entries, strict=True):
            told[layer, neuron] = ", ".join(f"{weight:+.2f} {text!r}" for _, weight, text in entries)
    return {pair: told[pair] for pair in pairs if pair in told}
