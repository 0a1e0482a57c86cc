"""The demo's fourth part: what neurons do to a sum through later attention heads, and which words say it.

For additions, every neuron's second-order effect on the difference of two answers' logits: what it does through exactly
one later head. The strongest neurons' main directions are then written as a few tokens, and on sums that had no say in
them each neuron's effect is replaced by its mean and its part along that direction (rank 1).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from causeway.engine.analyses.components.request import FoundComponents
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
    rows = {(row["layer"], row["neuron"]): row for row in found.table.slice(0, SHOWN).to_pylist()}
    components = cw.components(
        model, prompts, layer=range(len(found.layers) - 1), largest=8, position="answers", held_out=0.5
    )
    for (layer, neuron), words in _words(model, components, set(rows)).items():
        effect = "{effect:+.2f} [{low:+.2f}, {high:+.2f}]".format(**rows[layer, neuron])
        print(f"  layer {layer} neuron {neuron:>3}: {effect} through one head; its direction in words: {words}")
    _ablate(model, prompts, components)


def _orders(found: SecondOrder) -> None:
    names = ("directly", "through one head", "through two heads")
    parts = [f"{found.scores[:, :, order].sum(axis=(1, 3)).mean():+.2f} {name}" for order, name in enumerate(names)]
    print(f"  all neurons together: {', '.join(parts)}")


def _words(model: Model, found: FoundComponents, pairs: set[tuple[int, int]]) -> dict[tuple[int, int], str]:
    """Some neurons' main directions over the sums, each as a few tokens with their weights."""
    import causeway as cw

    lexicon, told = cw.lexicon(model), {}
    for layer in sorted({layer for layer, _ in pairs} & found.layers.keys()):
        words = cw.decompose(model, found.layers[layer].components, lexicon, atoms=WORDS, null_draws=0)
        for neuron, entries in zip(words.neuron.tolist(), words.entries, strict=True):
            told[layer, neuron] = ", ".join(f"{weight:+.2f} {text!r}" for _, weight, text in entries)
    return {pair: text for pair, text in told.items() if pair in pairs}


def _ablate(model: Model, prompts: list[tuple[str, str, str]], found: FoundComponents) -> None:
    """All neurons' effects replaced on the sums held out."""
    import causeway as cw

    table = cw.ablate(model, prompts, found, live=False).table.to_pylist()
    rows = {(row["substitution"], row["outcome"]): row for row in table}
    for name, told in (("rank_1", "their part along it"), ("mean", "their means")):
        difference, accuracy = rows[name, "logit_difference"], rows[name, "accuracy"]
        print(
            f"  on {difference['prompts']} sums held out, with {told} in place of all neurons' effects through one "
            f"head: {difference['clean']:.2f} -> {difference['value']:.2f}, {accuracy['value']:.0%} right"
        )
