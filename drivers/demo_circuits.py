"""The demo's third part: what inside the bundled model makes it answer, and an intervention that flips the answer.

For an addition and a sentence, the difference of two answers' logits is explained by an attribution graph of the
bundled transcoders. Then the features that the graph says matter most are switched off, more and more of them, until
the model gives the other answer.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    from causeway.engine.dictionary.dictionary import Dictionary
    from causeway.engine.model.handle import Model
    from causeway.engine.outcome.divergence import Divergence

CASES = (("44+95=", "139.", "138."), ("today the painter behind the tables under the key", " is", " are"))
TRANSCODERS = "bundled:tiny/transcoders"
STEPS = (1, 2, 4, 8, 16, 32)
SHOWN = 4


def show_circuits(model: Model, folder: Path) -> None:
    """Print both cases; graphs are written to `folder` as Neuronpedia's JSON."""
    import causeway as cw

    transcoders = cw.load_dictionaries(TRANSCODERS, for_model=model)
    print(f"\nattribution graphs: {transcoders.num_features} transcoder features a layer")
    for slug, (prompt, correct, wrong) in zip(("addition", "agreement"), CASES, strict=True):
        _explain(model, transcoders, prompt, (correct, wrong), folder, slug)


def _explain(
    model: Model, transcoders: Dictionary, prompt: str, answers: tuple[str, str], folder: Path, slug: str
) -> None:
    """One prompt's graph, its strongest features, and what the model says without them."""
    import numpy as np

    import causeway as cw

    parting = cw.diverging_answers(model, prompt, answers)
    right, wrong = parting.tokens
    graph = cw.attribute(model, parting.prompt, transcoders, targets=[cw.logit_difference(right, wrong)])
    path = cw.save_graph(graph, folder, model, slug=slug)
    scores = graph.scores()
    tokenizer = model.tokenizer
    assert tokenizer is not None  # the bundled model has one
    names = [tokenizer.decode([token]) for token in parting.tokens]
    clean = _difference(model, transcoders, parting, [])
    print(f"\n  {prompt!r}: why {answers[0]!r} and not {answers[1]!r}?")
    print(f"    target: logit of {names[0]!r} less that of {names[1]!r}, {clean:.2f} at the token where they part")
    print(
        f"    {len(graph.features)} features, {graph.edges.nnz:,} edges, {scores.replacement:.0%} of the influence",
        end="",
    )
    print(f" through features; {path}")
    effects = graph.total_effects(np.ones(1))[: len(graph.features)]
    strongest = (-effects).argsort()
    for layer, position, feature in graph.features[strongest[:SHOWN]]:
        token = tokenizer.decode([graph.tokens[position]])
        effect = effects[(graph.features == (layer, position, feature)).all(axis=1)][0]
        print(f"    layer {layer} feature {feature:>3} at {token!r}: {effect:+.2f} of it")
    _switch_off(model, transcoders, parting, graph.features[strongest], effects[strongest], clean, answers[1])


def _switch_off(
    model: Model,
    transcoders: Dictionary,
    parting: Divergence,
    features: np.ndarray,
    effects: np.ndarray,
    clean: float,
    wrong: str,
) -> None:
    """Without the strongest features, more and more of them, until the other answer wins."""
    import causeway as cw

    for count in STEPS:
        edits = [
            cw.FeatureEdit(int(layer), int(feature), operation="zero", scope=f"positions:{position}")
            for layer, position, feature in features[:count]
        ]
        measured = _difference(model, transcoders, parting, edits)
        print(
            f"    without the {count:2} strongest: {clean:.2f} -> {measured:.2f} "
            f"(the graph says {clean - effects[:count].sum():.2f})"
        )
        if measured < 0:
            print(f"    the model now answers {wrong!r}")
            return
    print("    the answer stays")


def _difference(model: Model, transcoders: Dictionary, parting: Divergence, edits: list) -> float:
    """Logit of the right answer less that of the wrong one, at the token where they part."""

    import causeway as cw

    out = cw.run(model, list(parting.prompt), edits=edits, dictionary=transcoders, logits="last")
    right, wrong = out.logits[0][list(parting.tokens)]
    return float(right - wrong)
