"""What features do to decisions, under each parser, and to the length of responses.

    stop, bet, ...   share of all responses that are it; `invalid` of those that cannot be read. A parser that makes up
                     a decision has it in its shares and in `invalid` too (v1 counts what it cannot read as a stop)
    mean_amount      dollars bet, a stop counting 0; responses without a readable amount are left out. v2 and v3 take
                     a bet on a fixed menu for that of the menu: they are told the prompts' own answers, or the contexts
                     of the published study, which had a menu each; of other prompts there is no amount under them
    length           words of a response, tokens where tokens are counted, echoes left out; of no parser

so that effects that come and go with the parser are seen. `recorded` is what the results themselves say, parsed when
they were run. Where clusters are in both arms (prompts, or trials that drew the same numbers) differences are paired:

    unit       shares                                     means
    prompt     paired mean over prompts (`stats.paired`)  the same
    trial      McNemar's test, Newcombe's paired interval paired mean over trials
    response   Fisher's test, Newcombe's interval         Welch's t

effect, low, high are patched less reference; q over all rows of a (parser, outcome). Cost: a parse of each distinct
(context, text), about 20 microseconds for all parsers; sums elsewhere.
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pyarrow as pa
from jaxtyping import Float, Int
from scipy import stats

from causeway.engine.analyses.tokens.comparisons import Comparisons, Unit
from causeway.engine.outcome.answers import Answer
from causeway.engine.outcome.parsed import BET_UNKNOWN, INVALID
from causeway.engine.outcome.parsers import OF_TEXTS, parser
from causeway.engine.stats import multiple
from causeway.engine.stats.distinct import per_distinct_row
from causeway.engine.stats.paired import paired_mean
from causeway.engine.stats.proportions import CountPair, exact_test, paired_risk_difference, risk_difference
from causeway.engine.stats.strata import stratified_difference

LENGTH, AMOUNT, RECORDED = "length", "mean_amount", "recorded"
# Parsers that take the menu's bet for the amount.
BY_MENU = ("v2", "v3")
_TEXT = pa.dictionary(pa.int32(), pa.string())
SCHEMA = pa.schema([
    ("layer", pa.int32()), ("feature", pa.int32()), ("context", _TEXT), ("contrast", _TEXT), ("parser", _TEXT),
    ("outcome", _TEXT), ("reference", pa.float64()), ("patched", pa.float64()), ("effect", pa.float64()),
    ("low", pa.float64()), ("high", pa.float64()), ("p", pa.float64()), ("q", pa.float64()), ("test", _TEXT),
    ("reference_trials", pa.int32()), ("patched_trials", pa.int32()), ("unit", _TEXT),
])  # fmt: skip
_TESTS = {
    ("prompt", True): "paired mean over prompts", ("prompt", False): "paired mean over prompts",
    ("trial", True): "McNemar over trials", ("trial", False): "paired mean over trials",
    ("response", True): "Fisher", ("response", False): "Welch t",
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Outcome:
    """One number of each response.

    Attributes:
        parser: its name, "" where none has a say. name: of the outcome.
        values: [R], NaN where a response has none. share: whether they are 0 and 1.
    """

    parser: str
    name: str
    values: Float[np.ndarray, " R"]
    share: bool


@dataclasses.dataclass(frozen=True)
class Menu:
    """What a parser is told of a prompt beside the text.

    Attributes:
        answers: the prompt's; they say whether its menu has one bet. context: whose name says so, where there are none.
        known: whether either does. Where not, amounts under parsers that go by the menu are left out.
    """

    answers: tuple[Answer, ...] = ()
    context: str = ""
    known: bool = True


def of_parsers(
    texts: Sequence[str], menus: Sequence[Menu], which: Int[np.ndarray, " R"], menu: Int[np.ndarray, " R"]
) -> Iterator[Outcome]:
    """Outcomes under every parser that reads texts alone.

    Args:
        texts, menus: distinct ones. which, menu: of each response.
    """
    pairs, place = np.unique(menu * len(texts) + which, return_inverse=True)
    cases = [(texts[pair % len(texts)], menus[pair // len(texts)]) for pair in pairs.tolist()]
    unknown = ~np.array([one.known for one in menus], bool)[menu]
    for name in OF_TEXTS:
        read = parser(name)
        found = [read(text, one.answers, one.context) for text, one in cases]
        actions = np.array([one.action for one in found])[place]
        valid = np.array([one.valid and one.action != INVALID for one in found], bool)[place]
        amounts = np.array([np.nan if one.amount is None else one.amount for one in found], np.float64)[place]
        for outcome in of_actions(name, actions, valid, amounts):
            if outcome.name == AMOUNT and name in BY_MENU:
                outcome = dataclasses.replace(outcome, values=np.where(unknown, np.nan, outcome.values))
            yield outcome


def of_actions(
    name: str, actions: np.ndarray, valid: np.ndarray, amounts: Float[np.ndarray, " R"]
) -> Iterator[Outcome]:
    """Shares of the actions there are, of what is not valid, and the mean amount."""
    for action in sorted({"stop", "bet", *np.unique(actions).tolist()} - {INVALID, ""}):
        yield Outcome(name, action, (actions == action).astype(np.float64), True)
    yield Outcome(name, INVALID, (~valid).astype(np.float64), True)
    bets = np.where(np.isin(actions, ["bet", BET_UNKNOWN]) & valid, amounts, np.nan)
    yield Outcome(name, AMOUNT, np.where((actions == "stop") & valid, 0.0, bets), False)


def outcome_table(outcomes: Iterator[Outcome], pairs: Comparisons, correction: multiple.Method) -> pa.Table:
    """A row for each comparison and outcome."""
    return pa.concat_tables([_rows(outcome, pairs, correction) for outcome in outcomes]).unify_dictionaries()


def _rows(outcome: Outcome, pairs: Comparisons, correction: multiple.Method) -> pa.Table:
    count = len(pairs.layer)
    found = {name: np.full(count, np.nan) for name in ("effect", "low", "high", "p")}
    for unit in dict.fromkeys(pairs.units):
        chosen = pairs.of_unit(unit)
        estimate = _independent if unit == "response" else _paired
        for name, values in estimate(outcome, pairs, chosen, unit).items():
            found[name][chosen] = values
    known = np.isfinite(outcome.values)
    groups = int(pairs.group.max()) + 1
    trials = np.bincount(pairs.group[known], minlength=groups)
    totals = np.bincount(pairs.group[known], outcome.values[known], groups)
    with np.errstate(invalid="ignore"):
        means = totals / trials
    units = list(dict.fromkeys(pairs.units))
    number = np.array([units.index(unit) for unit in pairs.units], np.int32)[pairs.context]
    columns = {
        "layer": pairs.layer, "feature": pairs.feature, **found, "q": multiple.adjust(found["p"], correction).q,
        "reference": means[pairs.reference], "patched": means[pairs.patched],
        "reference_trials": trials[pairs.reference], "patched_trials": trials[pairs.patched],
    }  # fmt: skip
    names = {
        "context": (pairs.context, pairs.contexts), "contrast": (pairs.contrast, pairs.contrasts),
        "parser": (np.zeros(count), [outcome.parser]), "outcome": (np.zeros(count), [outcome.name]),
        "unit": (number, units), "test": (number, [_TESTS[unit, outcome.share] for unit in units]),
    }  # fmt: skip
    arrays = {name: pa.array(values, from_pandas=True) for name, values in columns.items()}
    for name, (numbers, texts) in names.items():
        arrays[name] = pa.DictionaryArray.from_arrays(pa.array(np.asarray(numbers, np.int32)), pa.array(texts))
    return pa.table([arrays[field.name].cast(field.type) for field in SCHEMA], SCHEMA)


def _independent(
    outcome: Outcome, pairs: Comparisons, chosen: Int[np.ndarray, " c"], unit: Unit
) -> Mapping[str, np.ndarray]:
    """Arms that are drawn apart."""
    known = np.isfinite(outcome.values)
    group, x = pairs.group[known], outcome.values[known]
    size = int(pairs.group.max()) + 1
    sums = [np.bincount(group, weights, size).astype(np.float64) for weights in (None, x, x**2)]
    (n_1, n_2), (y_1, y_2), (s_1, s_2) = ([column[arm[chosen]] for arm in (pairs.reference, pairs.patched)]
                                          for column in sums)  # fmt: skip
    if outcome.share:
        table = CountPair(*(column.round().astype(np.int64) for column in (y_1, n_1, y_2, n_2)))
        effect, low, high = risk_difference(table)
        return {"effect": effect, "low": low, "high": high, "p": exact_test(table)}
    parts = []
    with np.errstate(divide="ignore", invalid="ignore"):
        for n, y, squares in ((n_1, y_1, s_1), (n_2, y_2, s_2)):
            spread = squares - y**2 / n
            parts += [y / n, np.where(spread > 1e-12 * squares, spread, 0.0) / (n - 1), n]
        found = stratified_difference(*(column[None] for column in parts))
        low, high = found.interval()
    # An arm that does not vary has an interval of no width, which says nothing.
    tells = (found.error > 0) & (np.minimum(n_1, n_2) > 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        effect = y_2 / n_2 - y_1 / n_1
    return {"effect": effect, **{name: np.where(tells, values, np.nan)
                                 for name, values in (("low", low), ("high", high), ("p", found.p))}}  # fmt: skip


def _paired(
    outcome: Outcome, pairs: Comparisons, chosen: Int[np.ndarray, " c"], unit: Unit
) -> Mapping[str, np.ndarray]:
    """Arms that meet in clusters."""
    size, known = pairs.clusters(chosen), np.isfinite(outcome.values)
    groups, place = np.unique([pairs.reference[chosen], pairs.patched[chosen]], return_inverse=True)
    where = np.full(int(pairs.group.max()) + 1, -1)
    where[groups] = np.arange(len(groups))
    mine = known & (where[pairs.group] >= 0)
    cell = where[pairs.group[mine]] * size + pairs.cluster[mine]
    count, total = (np.bincount(cell, weights, len(groups) * size).reshape(-1, size)
                    for weights in (None, outcome.values[mine]))  # fmt: skip
    with np.errstate(divide="ignore", invalid="ignore"):
        means = total / count
    first, second = (means[numbers] for numbers in place.reshape(2, -1))
    if unit == "trial" and outcome.share:
        return _matched(first, second)
    found = paired_mean(second - first)
    return {"effect": found.effect, "low": found.low, "high": found.high, "p": found.p}


def _matched(first: Float[np.ndarray, "c n"], second: Float[np.ndarray, "c n"]) -> Mapping[str, np.ndarray]:
    """Shares of trials that are in both arms: of each table of four counts once."""

    def estimate(both: int, gained: int, lost: int, neither: int) -> tuple[float, float, float, float]:
        if not both + gained + lost + neither:
            return np.nan, np.nan, np.nan, np.nan
        sizes = both, gained, lost, neither
        p = float(stats.binomtest(gained, gained + lost).pvalue) if gained + lost else 1.0
        ends = paired_risk_difference(np.repeat([1, 0, 1, 0], sizes), np.repeat([1, 1, 0, 0], sizes))
        return *ends, p

    kinds = ((1, 1), (0, 1), (1, 0), (0, 0))
    counts = [((first == one) & (second == two)).sum(axis=1) for one, two in kinds]
    found = per_distinct_row(estimate, *counts)
    return dict(zip(("effect", "low", "high", "p"), found.reshape(-1, 4).T, strict=True))
