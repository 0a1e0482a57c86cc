"""Effects and intervals of a study that reports none, from its responses.

The published study tells an effect size at most. Of each feature and context,

    effect = rate under the context's own patch - rate at baseline        stops in safe, large bets in risky contexts

with Newcombe's interval, trials being the observations, by the version of the study's rule that agrees best with what
it declares; the context with the larger |effect| stands for the feature, as in the features table.

Shapes: F features, C contexts. Cost: one pass over the responses.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from causeway.engine.analyses.as_published.causal_rule import RULES, rule_counts
from causeway.engine.analyses.audit.calibration import as_trials, calibration
from causeway.engine.earlier_features import tests_of
from causeway.engine.earlier_results import EarlierResults
from causeway.engine.stats.proportions import risk_difference


def with_estimates(results: EarlierResults) -> tuple[pa.Table, str]:
    """The features table with effect, low and high of the responses, and the version of the rule that was counted by.

    Features without responses keep what they have.

    Raises:
        ValueError: responses without actions, or without a condition that the rule counts.
    """
    version = calibration(results.features, results.responses)["rule"]
    rule = RULES[version]
    counts = rule_counts(as_trials(results.responses), rule)
    contexts = list(counts.tables)
    estimates = np.stack([np.stack(risk_difference(counts.tables[name])) for name in contexts])
    larger = np.nan_to_num(np.abs(estimates[:, 0]), nan=-1.0).argmax(axis=0)
    effect, low, high = estimates[larger, :, np.arange(len(larger))].T
    tests = tests_of(version)
    chosen = [tests[contexts[i]] for i in larger]
    found = {
        "effect": pa.array(effect, from_pandas=True), "low": pa.array(low, from_pandas=True),
        "high": pa.array(high, from_pandas=True), "outcome": pa.array([outcome for outcome, _ in chosen]),
        "contrast": pa.array([contrast for _, contrast in chosen]),
    }  # fmt: skip
    place = {pair: i for i, pair in enumerate(zip(counts.layer.tolist(), counts.feature.tolist(), strict=True))}
    pairs = zip(results.features["layer"].to_pylist(), results.features["feature"].to_pylist(), strict=True)
    return _filled(results.features, found, pa.array([place.get(pair) for pair in pairs], pa.int64())), version


def _filled(table: pa.Table, found: dict[str, pa.Array], at: pa.Array) -> pa.Table:
    """The table with what was found at each row's place, where it has one."""
    for name, values in found.items():
        column = pc.coalesce(values.take(at), table[name].combine_chunks())
        table = table.set_column(table.column_names.index(name), table.schema.field(name), column)
    return table
