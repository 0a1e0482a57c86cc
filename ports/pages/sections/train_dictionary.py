"""The section of trained dictionaries: how good are they, on texts that were kept back?"""

from collections.abc import Mapping, Sequence
from typing import Any

from causeway.ports.pages.charts.by_layer import by_layer
from causeway.ports.pages.section import Block, Card, Cards, Chart, DataTable, Missing, Prose, Section
from causeway.ports.pages.sections.rows import count, typed
from causeway.ports.pages.workdir import Result

SHARES = {"explained_variance": "variance explained", "loss_recovered": "loss recovered"}
HEADINGS = {
    "layer": "layer", "features": "features", "l0": "active a token", "dead": "never active",
    "explained_variance": "variance explained", "relative_error": "relative error",
    "loss_recovered": "loss recovered", "loss_clean": "loss as it stands", "loss_spliced": "loss with it put in",
    "loss_mean": "loss with the mean", "tokens": "tokens",
}  # fmt: skip


def section_of(result: Result, anchor: str, title: str) -> Section:
    """The section."""
    lead, layers = f"causeway train_dictionary, {result.folder}", result.about.get("layers") or []
    if not layers:
        return Section(title, anchor, [Missing("quality.json names no layer; train again.")], lead)
    drawn = [
        {"layer": one["layer"], "share": one[name], "kind": what}
        for name, what in SHARES.items()
        for one in layers
        if one.get(name) is not None
    ]
    whole = {"layer", "features", "dead", "tokens"}
    table = typed(layers, **{name: int if name in whole else float for name in HEADINGS})
    blocks: list[Block] = [
        Prose(_answer(layers)),
        Cards([
            Card("layers", str(len(layers))), Card("features a layer", str(layers[0]["features"])),
            Card("never active", str(sum(one["dead"] for one in layers)), f"on {layers[0]['tokens']} tokens"),
        ]),
        Chart("shares", "What reconstructions keep", "Shares of the stream's variance, and of the loss between the "
              "stream's mean and the stream itself, that the reconstruction gives back: 1 is all, below 0 is worse "
              "than the mean.", by_layer("share", "share", "kind"), typed(drawn, layer=int, share=float, kind=str)),
        DataTable("layers", "Layers in numbers", "Losses in nats a token.", table, HEADINGS, shown=100),
    ]  # fmt: skip
    return Section(title, anchor, blocks, lead)


def _answer(layers: Sequence[Mapping[str, Any]]) -> str:
    """The best and the worst layer in a sentence."""
    worst, best = (pick(layers, key=lambda one: one["explained_variance"]) for pick in (min, max))
    told = f"On {count(best['tokens'], 'token')} of texts that were kept back, "
    if len(layers) == 1:
        told += f"the dictionary of layer {best['layer']} explains {best['explained_variance']:.1%} of the variance"
    else:
        told += (
            f"the dictionaries explain between {worst['explained_variance']:.1%} (layer {worst['layer']}) and "
            f"{best['explained_variance']:.1%} (layer {best['layer']}) of the variance"
        )
    return f"{told}, with {best['l0']:.3g} features active a token in layer {best['layer']}."
