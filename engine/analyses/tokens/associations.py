"""The associations table: what each feature does to each word, with its statistics.

A row is (feature, context, contrast, unit, text):

    direction                    "adds" where the text has more of it with the feature patched, else "removes"
    log_odds, low, high          patched less reference, natural logarithm, with a 95 % interval over clusters
    z                            Monroe's, which takes words for independent: beside, not for judging
    interval_excludes_0          whether low and high are on one side of 0. p is of another method, so q may be small
                                 beside an interval that holds 0: what is listed has both
    p, q                         of `test`; q over all rows of the unit (words x features x contexts x contrasts)
    reference_*, patched_*       responses that hold it, of so many trials, and occurrences of so many words
    original_log_ratio, original_p   the source document's statistic, and its chi-square of occurrences

Rows are those of words in `min_count` responses of both arms together or more: a choice that says nothing of the
arms' difference, so that q keeps its meaning. Statistics are in `stats.log_odds`.

Cost: elementwise in the rows, some hundred a comparison.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from jaxtyping import Int

from causeway.engine.analyses.tokens.comparisons import Comparisons, Unit
from causeway.engine.analyses.tokens.counts import Counted
from causeway.engine.analyses.tokens.sums import Sums, sums
from causeway.engine.stats import log_odds as statistics
from causeway.engine.stats import multiple
from causeway.engine.stats.log_odds import ENOUGH, Prior
from causeway.engine.stats.proportions import ExactTest

# Jeffreys: half a word of the row's kind and half a word of all others, beside the prior's responses. Without it a word
# that one arm never has would have odds that only its rarity elsewhere decides.
HALF = 0.5
ADDS, REMOVES = "adds", "removes"
_TEXT = pa.dictionary(pa.int32(), pa.string())
SCHEMA = pa.schema([
    ("layer", pa.int32()), ("feature", pa.int32()), ("context", _TEXT), ("contrast", _TEXT), ("unit", _TEXT),
    ("text", _TEXT), ("token_id", pa.int32()), ("direction", _TEXT), ("log_odds", pa.float64()), ("low", pa.float64()),
    ("high", pa.float64()), ("z", pa.float64()), ("p", pa.float64()), ("q", pa.float64()), ("test", _TEXT),
    ("interval_excludes_0", pa.bool_()),
    ("reference_responses", pa.int32()), ("patched_responses", pa.int32()), ("reference_trials", pa.int32()),
    ("patched_trials", pa.int32()), ("reference_count", pa.int64()), ("patched_count", pa.int64()),
    ("reference_words", pa.int64()), ("patched_words", pa.int64()), ("original_log_ratio", pa.float64()),
    ("original_p", pa.float64()),
])  # fmt: skip
_TESTS = {
    "response": ("permutation of responses", "{} on responses that hold it"),
    "trial": ("exchange within trials", "sign test of trials that hold it"),
    "prompt": ("exchange within prompts", "sign test of prompts by how many responses hold it"),
}
_ARMS = ("reference", "patched")


@dataclasses.dataclass(frozen=True)
class Statistics:
    """How words are judged.

    Attributes:
        min_count: responses of both arms that hold a word, at least.
        prior: responses of the mean length that the prior counts as, in each arm, their words dealt as in all texts.
        exact_test: "fisher", "mid_p" or "boschloo", where few responses hold a word and arms are independent; None for
            "fisher" there.
        correction: "bh", or "by" for any dependence.
        confidence: of intervals.
    """

    min_count: int = 5
    prior: float = 1.0
    exact_test: ExactTest | None = None
    correction: multiple.Method = "bh"
    confidence: float = 0.95

    @property
    def of_independent(self) -> ExactTest:
        """The exact test of arms that are independent."""
        return self.exact_test or "fisher"


def associations(counted: Counted, document: Int[np.ndarray, " R"], pairs: Comparisons, asked: Statistics) -> pa.Table:
    """Every row of one unit.

    Args:
        counted: words of documents. document: of each response.
    """
    weight = np.bincount(document, minlength=len(counted.lengths)).astype(np.float64)
    words = float(weight @ counted.lengths)
    share = (counted.counts.T @ weight) / max(words, 1.0)
    total = asked.prior * words / max(len(document), 1)
    parts = [SCHEMA.empty_table()]
    for unit in dict.fromkeys(pairs.units):
        for one in sums(counted, document, pairs, unit, asked.min_count):
            prior = Prior(total * share[one.word] + HALF, total + 2 * HALF)
            parts.append(_block(one, unit, prior, asked, counted, pairs))
    table = pa.concat_tables(parts).unify_dictionaries()
    q = multiple.adjust(table["p"].to_numpy(), asked.correction).q
    return table.set_column(SCHEMA.get_field_index("q"), SCHEMA.field("q"), pa.array(q, from_pandas=True))


def _block(
    one: Sums, unit: Unit, prior: Prior, asked: Statistics, counted: Counted, pairs: Comparisons
) -> pa.Table:  # fmt: skip
    """Rows of some comparisons, those of each by p; q is filled in when all are there."""
    if one.joint is None:
        smaller = np.minimum(one.trials[0], one.trials[1]) / np.maximum(one.trials.sum(axis=0), 1)
        enough = one.holding * smaller >= ENOUGH
    else:
        enough = one.holding >= ENOUGH
    delta, p = statistics.log_odds(one.first, one.second, prior), _p(one, enough, asked)
    low, high = statistics.interval(one.first, one.second, prior, one.joint, asked.confidence)
    at, word, count = one.comparison, one.word, len(one.word)
    tests = [name.format(asked.of_independent) for name in _TESTS[unit]]
    ids = pa.nulls(count, pa.int32()) if counted.ids is None else pa.array(counted.ids[word], pa.int32())
    y, n = (one.first.y, one.second.y), (one.first.n, one.second.n)
    columns = {
        "layer": pairs.layer[at], "feature": pairs.feature[at],
        "context": _named(pairs.context[at], pairs.contexts), "contrast": _named(pairs.contrast[at], pairs.contrasts),
        "unit": _named(np.zeros(count), [counted.unit]), "text": _named(word, counted.vocabulary), "token_id": ids,
        "direction": _named(delta <= 0, [ADDS, REMOVES]), "log_odds": delta, "low": low, "high": high,
        "z": statistics.monroe_z(one.first, one.second, prior), "p": p, "q": pa.nulls(count, pa.float64()),
        "test": _named(~enough, tests),
        "interval_excludes_0": pa.array((low > 0) | (high < 0), pa.bool_(), mask=np.isnan(low) | np.isnan(high)),
        **{f"{arm}_responses": one.responses[i] for i, arm in enumerate(_ARMS)},
        **{f"{arm}_trials": one.trials[i] for i, arm in enumerate(_ARMS)},
        **{f"{arm}_count": y[i].round() for i, arm in enumerate(_ARMS)},
        **{f"{arm}_words": n[i].round() for i, arm in enumerate(_ARMS)},
        "original_log_ratio": statistics.original_log_ratio(*y),
        "original_p": statistics.original_p(y[0], n[0], y[1], n[1]),
    }  # fmt: skip
    table = pa.table([_column(columns[field.name], field.type) for field in SCHEMA], SCHEMA)
    return table.take(np.lexsort((p, at)))


def _p(one: Sums, enough: np.ndarray, asked: Statistics) -> np.ndarray:
    rate = statistics.rate_test(one.first, one.second, one.joint)
    few = np.flatnonzero(~enough)
    exact, plain = np.ones(len(rate)), statistics.rate_test(one.first, one.second, one.joint, correction=0.0)
    held, trials = one.held[:, few], one.trials[:, few]
    if one.joint is None:
        exact[few] = statistics.presence_test(held[0], trials[0], held[1], trials[1], asked.of_independent)
    else:
        exact[few] = statistics.sign_test(held[0], held[1])
    return statistics.combined(exact, rate, plain, enough)


def _named(numbers: np.ndarray, names: Sequence[str]) -> pa.Array:
    """Names by their numbers, each name stored once."""
    return pa.DictionaryArray.from_arrays(pa.array(numbers.astype(np.int32)), pa.array(list(names), pa.string()))


def _column(values: np.ndarray | pa.Array, kind: pa.DataType) -> pa.Array:
    if isinstance(values, pa.Array):
        return values
    return pa.array(values, from_pandas=True).cast(kind)
