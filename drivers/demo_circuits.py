"""The demo's second half: what inside the bundled model makes it answer, and an intervention that flips the answer.

For an addition and a sentence, the difference of two answers' logits is explained by an attribution graph of the
bundled transcoders. Then the features that the graph says matter most are switched off, more and more of them, until
the model gives the other answer.
"""

from pathlib import Path

CASES = (("44+95=", "139.", "138."), ("today the painter behind the tables under the key", " is", " are"))
TRANSCODERS = "bundled:tiny/transcoders"
STEPS = (1, 2, 4, 8, 16, 32)


def show_circuits(model, folder: Path) -> None:
    """Print both cases; graphs are written to `folder` as Neuronpedia's JSON."""
    import causeway as cw

    transcoders = cw.load_dictionaries(TRANSCODERS, for_model=model)
    print(f"\nattribution graphs: {transcoders.num_features} transcoder features a layer")
    for slug, (prompt, correct, wrong) in zip(("addition", "agreement"), CASES, strict=True):
        _explain(model, transcoders, prompt, correct, wrong, folder, slug)


def _explain(model, transcoders, prompt: str, correct: str, wrong: str, folder: Path, slug: str) -> None:
    import numpy as np

    import causeway as cw
    from causeway.ports.graph_methods import to_neuronpedia

    parting = cw.diverging_answers(model, prompt, [correct, wrong])
    right, other = parting.tokens
    graph = cw.attribute(model, transcoders, parting.prompt, targets=[cw.logit_difference(right, other)])
    path = to_neuronpedia(graph, folder, model, slug)
    scores = graph.scores()
    print(f"  {prompt!r}: why {correct!r} and not {wrong!r}?")
    print(
        f"    {len(graph.features)} features, {graph.edges.nnz} edges, replacement {scores.replacement:.2f}, ", end=""
    )
    print(f"completeness {scores.completeness:.2f}; {path}")
    effects = graph.total_effects(np.ones(1))[: len(graph.features)]
    strongest = (-effects).argsort()
    clean = _difference(model, transcoders, parting, [])
    for count in STEPS:
        chosen = strongest[:count]
        edits = [
            cw.FeatureEdit(int(layer), int(feature), operation="zero", scope=f"positions:{position}")
            for layer, position, feature in graph.features[chosen]
        ]
        measured = _difference(model, transcoders, parting, edits)
        print(
            f"    without the {count:2} strongest: logit difference {clean:.2f} -> {measured:.2f} "
            f"(the graph says {clean - effects[chosen].sum():.2f})"
        )
        if measured < 0:
            print(f"    the model now answers {wrong!r}")
            return


def _difference(model, transcoders, parting, edits: list) -> float:
    """Logit of the right answer less that of the wrong one, at the token where they part."""
    import numpy as np

    import causeway as cw

    out = cw.run(model, list(parting.prompt), edits=edits, dictionary=transcoders)
    logits = np.asarray(out.logits).reshape(-1, model.config.vocab_size)[-1]
    right, wrong = logits[list(parting.tokens)]
    return float(right - wrong)
