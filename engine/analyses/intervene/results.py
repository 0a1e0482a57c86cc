"""Interventions as the circuit pipeline's document names them, and its own numbers that are not to be trusted.

`InterventionResult` has the document's fields. Its relative effect, effect / |baseline|, grows without bound where the
model is undecided, so it is left out unless asked for as `published_relative_effect`; `recovery` is what to read.
"""

import dataclasses
from collections.abc import Sequence

import pyarrow as pa

from causeway.engine.analyses.intervene.intervention_summary import recovery
from causeway.engine.model.handle import Model


@dataclasses.dataclass(frozen=True)
class InterventionResult:
    """One prompt under one intervention.

    Attributes:
        prompt_idx, prompt: number and text. baseline_logit_diff, intervened_logit_diff: logit of the correct token
            less that of the incorrect one. effect_size: baseline less intervened. relative_effect: None unless the
            published number was asked for. intervention_type: "ablation_zero", "patching", ... layer: -1 for several.
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
    model: Model, tokens: Sequence[int], rows: pa.Table, published: bool = False
) -> list[InterventionResult]:
    """The rows of one prompt of a sweep.

    Args:
        tokens: of the prompt. published: fill in the published relative effect.
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
                relative_effect=published_relative_effect(baseline, intervened) if published else None,
                intervention_type=_type(row["operation"], row["value"]),
                layer=row["layer"],
                features_intervened=row["features"],
                correct_token=model.text_after(tokens, [row["correct"]]),
                incorrect_token=model.text_after(tokens, [row["incorrect"]]),
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


def published_relative_effect(baseline: float, intervened: float) -> float | None:
    """effect / |baseline| as published; None at a baseline of 0. It explodes near there: read recoveries instead."""
    return (baseline - intervened) / abs(baseline) if baseline else None
