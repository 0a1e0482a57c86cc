"""How well a model tells a behaviour's right answers from its wrong ones.

    difference              log P(correct | p) - log P(incorrect | p)                     nats
    normalised difference   log P(correct | p) / |correct| - log P(incorrect | p) / |incorrect|, |.| in tokens
    sign success            difference > 0
    margin success          normalised difference > min_score_diff

Margin success is what the pipeline's document calls accuracy; it asks for more than being right, and a model is passed
by it. Sign accuracy is accuracy. The two differ also because dividing by the number of tokens can turn the order of
answers of unequal length round; `sign_accuracy_equal_length` counts only answers of equal length.

Items of a group (a noun) are not independent. Intervals of rates count them as the fewer that they are worth
(`stats.proportions.clustered_interval`); the mean difference also comes as the mean of the group means, with an
interval over groups. Fewer than 10 groups give no interval. A decision is `certain` where the interval of its rate
leaves out the threshold; without an interval there is none to tell (`verdict`).
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from causeway.engine.analyses.evaluate.final_answers import Generated
from causeway.engine.analyses.evaluate.verdict import told
from causeway.engine.analyses.prompts.catalogue import Criterion
from causeway.engine.outcome.divergence import first_divergence
from causeway.engine.stats.paired import paired_mean
from causeway.engine.stats.proportions import clustered_interval
from causeway.engine.tokenized_prompt import TokenizedPrompt

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
PASS, FAIL = "PASS", "FAIL"


@dataclasses.dataclass(frozen=True)
class Score:
    """One prompt's result.

    Attributes:
        prompt: with its tokens. correct, incorrect: log probabilities of the answers, nats.
        generated: what the model wrote, where the prompt was scored by generation too.
    """

    prompt: TokenizedPrompt
    correct: float
    incorrect: float
    generated: Generated | None = None

    @property
    def difference(self) -> float:
        """Of the answers' log probabilities."""
        return self.correct - self.incorrect

    @property
    def normalised_difference(self) -> float:
        """Of the answers' log probabilities a token."""
        right, wrong = map(len, self.prompt.pair)
        return self.correct / right - self.incorrect / wrong

    @property
    def equal_length(self) -> bool:
        """Whether the answers have as many tokens."""
        right, wrong = map(len, self.prompt.pair)
        return right == wrong


def scores_of(
    prompts: Sequence[TokenizedPrompt],
    log_probabilities: Float[np.ndarray, "N 2"],
    generated: Sequence[Generated] | None = None,
) -> list[Score]:
    """The results of prompts, in their order."""
    written: Sequence[Generated | None] = generated or [None] * len(prompts)
    columns = zip(prompts, log_probabilities.tolist(), written, strict=True)
    return [Score(prompt, right, wrong, text) for prompt, (right, wrong), text in columns]


def metrics(scores: Sequence[Score], criterion: Criterion) -> dict[str, Any]:
    """What is reported of one behaviour and split.

    Raises:
        ValueError: no scores.
    """
    if not scores:
        raise ValueError("scores: empty; a baseline needs at least one prompt")
    margin = rate([s.normalised_difference > criterion.min_score_diff for s in scores], scores)
    passed = margin["rate"] >= criterion.success_threshold
    equal = [s for s in scores if s.equal_length]
    normalised = np.array([s.normalised_difference for s in scores])
    return {
        "prompts": len(scores),
        "groups": len({s.prompt.record.cluster for s in scores}),
        "min_score_diff": criterion.min_score_diff,
        "success_threshold": criterion.success_threshold,
        "margin_success": margin,
        "sign_accuracy": rate([s.difference > 0 for s in scores], scores),
        "sign_accuracy_normalised": rate([s.normalised_difference > 0 for s in scores], scores),
        "sign_accuracy_equal_length": rate([s.difference > 0 for s in equal], equal),
        "decision": PASS if passed else FAIL,
        "certain": margin["low"] is not None and not margin["low"] <= criterion.success_threshold <= margin["high"],
        "normalised_difference": _spread(normalised) | {"over_groups": _over_groups(scores)},
        "difference": _spread(np.array([s.difference for s in scores])),
        "answer_tokens": {
            "correct_mean": float(np.mean([len(s.prompt.pair[0]) for s in scores])),
            "incorrect_mean": float(np.mean([len(s.prompt.pair[1]) for s in scores])),
            "equal_length": float(np.mean([s.equal_length for s in scores])),
        },
    } | _generation(scores)


def rate(successes: Sequence[bool], scores: Sequence[Score] = ()) -> dict[str, Any]:
    """A proportion with its 95 % interval; None where nothing was counted, or too few to tell.

    Args:
        scores: the prompts counted, whose groups are clusters; without them items are independent.
    """
    count, total = int(np.sum(successes)), len(successes)
    if not total:
        return {"rate": None, "count": 0, "of": 0, "low": None, "high": None}
    clusters = [s.prompt.record.cluster for s in scores] or [str(i) for i in range(total)]
    low, high = (None if math.isnan(end) else end for end in clustered_interval(np.asarray(successes), clusters))
    return {"rate": count / total, "count": count, "of": total, "low": low, "high": high}


def by_value(scores: Sequence[Score], name: str, criterion: Criterion) -> list[dict[str, Any]]:
    """Rates of the prompts that share a value of a field (`group`, or one of the behaviour's own), value by value.

    Prompts that do not have the field count nowhere.
    """
    values: dict[str, list[Score]] = {}
    for score in scores:
        fields = {**score.prompt.record.fields, "group": score.prompt.record.cluster}
        if name in fields:
            values.setdefault(str(fields[name]), []).append(score)
    return [_value_row(name, value, members, criterion) for value, members in sorted(values.items())]


def _value_row(name: str, value: str, members: Sequence[Score], criterion: Criterion) -> dict[str, Any]:
    tests: dict[str, Callable[[Score], bool]] = {
        "margin_success": lambda s: s.normalised_difference > criterion.min_score_diff,
        "sign_accuracy": lambda s: s.difference > 0,
    }
    row: dict[str, Any] = {"field": name, "value": value, "prompts": len(members)}
    for test, passes in tests.items():
        # Of one group's items the group is no cluster but what is asked about.
        found = rate([passes(s) for s in members], () if name == "group" else members)
        row |= {test: found["rate"], f"{test}_low": found["low"], f"{test}_high": found["high"]}
    return row | {"mean_normalised_difference": float(np.mean([s.normalised_difference for s in members]))}


def line(behaviour: str, split: str, measured: dict[str, Any]) -> str:
    """One line of a report."""
    margin, sign = measured["margin_success"], measured["sign_accuracy"]
    text = (
        f"{behaviour} {split}: {told(measured)}; margin success {_with_interval(margin)} of {margin['of']}, needs "
        f"{measured['success_threshold']:.0%} above {measured['min_score_diff']:g}; "
        f"sign accuracy {_with_interval(sign)}"
    )
    written = measured.get("generation_accuracy")
    return f"{text}; final answers {written['rate']:.0%}" if written else text


def _with_interval(found: dict[str, Any]) -> str:
    interval = "" if found["low"] is None else f" [{found['low']:.0%}, {found['high']:.0%}]"
    return f"{found['rate']:.0%}{interval}"


def row_of(score: Score, criterion: Criterion) -> dict[str, Any]:
    """One prompt's line of the table."""
    prompt, item, (right, wrong) = score.prompt, score.prompt.record, score.prompt.pair
    row = {
        "id": item.id, "group": item.cluster, "prompt": item.text,
        "correct_answer": item.correct, "incorrect_answer": item.incorrect,
        "prompt_tokens": len(prompt.tokens), "correct_tokens": len(right), "incorrect_tokens": len(wrong),
        "shared_tokens": first_divergence(prompt.tokens, (right, wrong)).shared,
        "correct_log_prob": score.correct, "incorrect_log_prob": score.incorrect,
        "difference": score.difference, "normalised_difference": score.normalised_difference,
        "sign_success": score.difference > 0,
        "margin_success": score.normalised_difference > criterion.min_score_diff,
    }  # fmt: skip
    if score.generated:
        written = score.generated
        number = "" if written.number is None else f"{written.number:f}"
        row |= {"generated": written.text, "generated_number": number, "generated_correct": written.correct}
    return row


def _spread(values: Float[np.ndarray, " N"]) -> dict[str, Any]:
    deviation = float(values.std(ddof=1)) if len(values) > 1 else None
    quantiles = {f"q{round(100 * q):02d}": float(np.quantile(values, q)) for q in QUANTILES}
    return {"mean": float(values.mean()), "std": deviation, "median": float(np.median(values)), **quantiles}


def _over_groups(scores: Sequence[Score]) -> dict[str, Any]:
    """Mean of the group means with its 95 % interval over groups; None where they are too few to tell."""
    groups: dict[str, list[float]] = {}
    for score in scores:
        groups.setdefault(score.prompt.record.cluster, []).append(score.normalised_difference)
    found = paired_mean(np.array([[np.mean(values) for values in groups.values()]]))
    low, high = (None if np.isnan(end[0]) else float(end[0]) for end in (found.low, found.high))
    return {"mean": float(found.effect[0]), "low": low, "high": high}


def _generation(scores: Sequence[Score]) -> dict[str, Any]:
    written = [s.generated for s in scores if s.generated]
    if not written:
        return {}
    return {
        "generation_accuracy": rate([w.correct for w in written], [s for s in scores if s.generated]),
        "generation_unreadable": sum(w.number is None for w in written),
    }
