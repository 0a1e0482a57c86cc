"""Interventions as the circuit pipeline's document names them, and its own numbers that are not to be trusted.

`InterventionResult` has the document's fields. Its relative effect, effect / |baseline|, grows without bound where the
model is undecided, so it is left out unless asked for as `documented_relative_effect`; `recovery` is what to read.
"""

import dataclasses
from collections.abc import Sequence

import pyarrow as pa

from causeway.engine.analyses.intervene.intervention_summary import recovery
from causeway.engine.calls.run import run
from causeway.engine.dictionary.cross_layer import CrossLayerTranscoder
from causeway.engine.dictionary.dictionary import Dictionary
from causeway.engine.frozen.sources import Transcoders
from causeway.engine.intervention.requests import FeatureEdit
from causeway.engine.model.handle import Model


@dataclasses.dataclass(frozen=True)
class InterventionResult:
    """One prompt under one intervention.

    Attributes:
        prompt_idx, prompt: number and text. baseline_logit_diff, intervened_logit_diff: logit of the correct token
            less that of the incorrect one. effect_size: baseline less intervened. relative_effect: None unless the
            documented number was asked for. intervention_type: "ablation_zero", "patching", ... layer: -1 for several.
            features_intervened: ids. correct_token, incorrect_token: texts. kind, position, predicted, recovery: the
            set of features, its token (-1 for all or several), the graph's prediction of -effect_size, and for
            patches the share of the clean difference restored.
    """

    prompt_idx: int
    prompt: str
    baseline_logit_diff: float
    intervened_logit_diff: float
    effect_size: float
    relative_effect: float | None
    intervention_type: str
    layer: int
    features_intervened: list[int]
    correct_token: str
    incorrect_token: str
    kind: str
    position: int
    predicted: float | None
    recovery: float | None


def results_of(
    model: Model, tokens: Sequence[int], rows: pa.Table, documented: bool = False
) -> list[InterventionResult]:
    """The rows of one prompt of a sweep.

    Args:
        tokens: of the prompt. documented: fill in the documented relative effect.
    """
    prompt, found = model.text_of(tokens), []
    for row in rows.to_pylist():
        baseline, intervened = row["baseline"], row["intervened"]
        restored = recovery(baseline, intervened, row["clean"])
        found.append(
            InterventionResult(
                prompt_idx=row["prompt"],
                prompt=prompt,
                baseline_logit_diff=baseline,
                intervened_logit_diff=intervened,
                effect_size=baseline - intervened,
                relative_effect=documented_relative_effect(baseline, intervened) if documented else None,
                intervention_type=_type(row["operation"], row["value"]),
                layer=row["layer"],
                features_intervened=row["features"],
                correct_token=model.text_behind(tokens, [row["correct"]]),
                incorrect_token=model.text_behind(tokens, [row["incorrect"]]),
                kind=row["kind"],
                position=row["position"],
                predicted=row["predicted"],
                recovery=restored if restored == restored else None,
            )
        )
    return found


def _type(operation: str, value: float | None) -> str:
    if operation == "patch":
        return "patching"
    usual = value is None or (operation, value) == ("inhibit", 1.0)
    return f"ablation_{operation}" if usual else f"ablation_{operation}_{value:g}"


def documented_relative_effect(baseline: float, intervened: float) -> float | None:
    """effect / |baseline| as documented; None at a baseline of 0. It explodes near there: read recoveries instead."""
    return (baseline - intervened) / abs(baseline) if baseline else None


def documented_replacement_difference(
    model: Model,
    transcoders: Transcoders,
    prompt: str | Sequence[int],
    layer: int,
    features: Sequence[int],
    answers: tuple[int, int],
    inhibition: float = 0.0,
) -> float:
    """The logit difference after the document's intervention, so that earlier results can be reconciled.

    The stream before block `layer` at the last token is encoded, the features are multiplied by -`inhibition`, and
    what they decode to stands in the stream's place. That is wrong three times over: a transcoder reads the MLP's
    input and decodes to its output, neither of which is this stream, and what it does not explain is thrown away. Use
    `intervene`.

    Raises:
        ValueError: cross-layer transcoders, which the document does not have, or features out of range.
    """
    if isinstance(transcoders, CrossLayerTranscoder):
        raise ValueError("transcoders: cross-layer ones; the documented intervention is defined for one layer's")
    arrays = {name: getattr(transcoders, name)[...] for name in _arrays(transcoders)}
    config = dataclasses.replace(transcoders.config, stream="resid_pre", write_stream="")
    misplaced = Dictionary(config, **arrays)
    edits = [FeatureEdit(layer, f, inhibition, "inhibit", "last_prompt") for f in features]
    out = run(model, model.tokens(prompt), edits=edits, dictionary=misplaced, mode="replace")
    last = out.logits[0][-1]
    return float(last[answers[0]]) - float(last[answers[1]])


def _arrays(transcoders: Dictionary) -> list[str]:
    # Without the skip connection, which the document's decode does not have.
    names = ("W_enc", "b_enc", "W_dec", "b_dec", "threshold", "log_scale", "gate_bias", "magnitude_bias")
    return [name for name in names if hasattr(transcoders, name)]
