"""What an attribution graph found, in the lines a person reads first: its targets, and its strongest features.

A feature's effect is over all paths of the graph (`AttributionGraph.total_effects`), in units of the target: a logit
difference, or a token's logit less the mean logit. Beside it stands what was measured when the feature alone was set
to zero and everything else ran on, with the sign turned, so that the two agree where the graph's linear account holds.

Cost: one clean pass of the prompt and one batch of as many rows as features are shown.
"""

import numpy as np
from jaxtyping import Float, Int

from causeway.engine.analyses.attribute.aggregate import Aggregate
from causeway.engine.analyses.attribute.graph import AttributionGraph
from causeway.engine.analyses.attribute.prompts import CircuitPrompt
from causeway.engine.analyses.attribute.targets import Target
from causeway.engine.analyses.intervene.clean_run import CleanRun
from causeway.engine.analyses.intervene.intervention_rows import feature_rows
from causeway.engine.frozen.sources import Transcoders
from causeway.engine.intervention.operations import coefficients
from causeway.engine.model.handle import Model

# Probability from which a token's logit says little: it can fall far before its probability moves.
NEARLY_CERTAIN = 0.99
# Replacement score below which most of a graph runs through errors.
LOW_REPLACEMENT = 0.5


def prompt_lines(
    model: Model, transcoders: Transcoders, prompt: CircuitPrompt, graph: AttributionGraph, shown: int = 10
) -> list[str]:
    """Targets and strongest features of one prompt's graph, effects beside what was measured."""
    weights = target_weights(prompt, graph, model.config.vocab_size)
    effects = graph.total_effects()[: len(graph.features)]
    direct = (graph.edges[len(graph.features) :].T @ graph.probabilities)[: len(graph.features)]
    strongest = np.argsort(-np.abs(effects), kind="stable")[:shown]
    lines = [f"  explains {_targets(graph)}"]
    if not len(strongest):
        return [*lines, "  no feature is active: everything runs through errors and tokens"]
    measured = measured_effects(model, transcoders, prompt, graph.features[strongest], weights)
    lines.append(
        f"  the {len(strongest)} strongest of {len(graph.features)} features: effect over all paths, of it direct, and "
        "measured (how far the target falls when the feature alone is set to 0)"
    )
    for at, found in zip(strongest, measured, strict=True):
        layer, position, feature = graph.features[at].tolist()
        lines.append(
            f"    layer {layer:>2} feature {feature:>6} at {position:>3} {_token(model, graph.tokens[position]):<14} "
            f"{effects[at]:+.4f}  direct {direct[at]:+.4f}  measured {found:+.4f}"
        )
    return [*lines, *_cautions(graph)]


def _targets(graph: AttributionGraph) -> str:
    if [logit.token for logit in graph.logits] == [-1]:
        return f"the logit difference {graph.logits[0].label!r}"
    return "the next token: " + ", ".join(f"{logit.label!r} (p {logit.probability:.3f})" for logit in graph.logits)


def _cautions(graph: AttributionGraph) -> list[str]:
    """What a reader of these numbers has to know."""
    out = []
    if any(logit.token >= 0 and logit.probability >= NEARLY_CERTAIN for logit in graph.logits):
        out.append(
            "  note: a token is nearly certain; effects are on its logit less the mean logit, which can fall far "
            "before the probability moves. The difference of two answers (--correct, --incorrect) says more"
        )
    if (replacement := graph.scores().replacement) < LOW_REPLACEMENT:
        out.append(
            f"  warning: replacement {replacement:.3f}; most of this graph runs through errors that no feature "
            "explains. Transcoders of all layers, or better ones, explain more"
        )
    return out


def _token(model: Model, token: int) -> str:
    return repr(model.tokenizer.decode([token])) if model.tokenizer is not None else str(token)


def target_weights(prompt: CircuitPrompt, graph: AttributionGraph, vocab_size: int) -> Float[np.ndarray, " V"]:
    """The graph's targets, weighted by their probabilities, as weights of the logits; they sum to 0."""
    weights = np.zeros(vocab_size)
    directions = iter([target for target in prompt.targets or () if isinstance(target, Target)])
    for logit in graph.logits:
        tokens = {logit.token: 1.0} if logit.token >= 0 else next(directions).weights
        weights[list(tokens)] += logit.probability * np.array(list(tokens.values()))
    return weights - weights.mean()


def measured_effects(
    model: Model,
    transcoders: Transcoders,
    prompt: CircuitPrompt,
    features: Int[np.ndarray, "R 3"],
    weights: Float[np.ndarray, " V"],
) -> Float[np.ndarray, " R"]:
    """How far the target falls when each feature alone is set to zero, the rest of the model running on."""
    run = CleanRun(model, transcoders, list(prompt.tokens))
    rows = feature_rows(run.transcoders, features, coefficients("zero", 0.0))
    return (run.logits[-1] - run.last_logits(rows, "open", width=max(8, len(features)))) @ weights


def aggregate_lines(found: Aggregate, shown: int = 10) -> list[str]:
    """The nodes of an aggregate with the largest mean effect over all paths."""
    total, out = found.total, []
    for i in np.argsort(-np.abs(total.effect), kind="stable")[:shown]:
        interval = f"[{total.low[i]:+.4f}, {total.high[i]:+.4f}]" if np.isfinite(total.low[i]) else "no interval"
        key = found.nodes[i]
        name = f"layer {key.layer:>2} feature {key.feature:>6}" if key.kind == "feature" else key.kind
        out.append(
            f"    {name} at {key.place}: {total.effect[i]:+.4f} {interval} in {found.frequency[i]:.0%} of prompts"
        )
    return out
