"""`cw.audit`: whether an earlier study's results can be built on, and what to beware of.

A *failure* says that a later stage would speak of something else than it seems to: conditions or responses that are not
there, features decided in two ways, nothing to join. A *warning* says that its numbers mean less than they seem to:
trials met twice, arms that are read less often or do not vary, as many causal features as chance would give.
"""

import dataclasses
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from causeway.engine.analyses.audit.calibration import calibration
from causeway.engine.analyses.audit.coverage import STUDY_CONDITIONS, Coverage, coverage
from causeway.engine.analyses.audit.readability import readability
from causeway.engine.earlier_results import EarlierResults, check_earlier, feature_name, feature_names

# Bound of q below which arms are said to be read differently, and share of declared features that chance may give.
ALPHA, MOST_FALSE = 0.05, 0.05
# Standard errors, and size, from which a common shift is spoken of.
SHIFT_ERRORS, LEAST_SHIFT = 3, 0.02


@dataclasses.dataclass(frozen=True)
class Validation:
    """What was found.

    Attributes:
        report: JSON-able: validated, causal_by_layer, joinable_features, failures, warnings and all that they are
            from.
        failures, warnings: one line each.
    """

    report: dict[str, Any]
    failures: tuple[str, ...]
    warnings: tuple[str, ...]

    @property
    def validated(self) -> bool:
        """Whether nothing failed."""
        return not self.failures


def audit(results: EarlierResults) -> Validation:
    """Check the results of an earlier study.

    Args:
        results: as `read_earlier` gives them.

    Returns:
        Failures, warnings, and the report. Its rates are shares of trials; shifts and differences are arm less
        baseline.

    Raises:
        ValueError: these are no results.
    """
    check_earlier(results)
    found = _Notes([], [])
    seen = coverage(results.responses, STUDY_CONDITIONS if results.kind == "study" else ())
    report = {
        "kind": results.kind, "files": list(results.files), "about": dict(results.about),
        **_declared(results, found), **_joined(results, seen, found), "repeated": _repeated(results, found),
        **_covered(results, seen, found), "readability": _readable(results, found),
        "calibration": _calibrated(results, found),
    }  # fmt: skip
    head = {"validated": not found.failures, "failures": found.failures, "warnings": found.warnings}
    return Validation(head | report, tuple(found.failures), tuple(found.warnings))


@dataclasses.dataclass(frozen=True)
class _Notes:
    failures: list[str]
    warnings: list[str]


def _declared(results: EarlierResults, found: _Notes) -> dict[str, Any]:
    """Features and causal ones by layer."""
    table = results.features
    causal = table.filter(pc.fill_null(table["is_causal"], False))
    if table["is_causal"].null_count == table.num_rows:
        found.warnings.append("nothing is declared: no feature has a verdict, so that none can be selected as causal")
    if results.conflicting:
        found.failures.append(f"{_some(results.conflicting, 'features')} decided twice and differently (first kept)")
    if not table.num_rows or table["cohen_d"].null_count == table.num_rows:
        found.warnings.append("no feature has a cohen_d: rank features by effect, or give the screen's table")
    by_layer = Counter(causal["layer"].to_pylist())
    return {
        "features": table.num_rows,
        "causal": causal.num_rows,
        "undecided": table["is_causal"].null_count,
        "features_by_layer": _by_layer(Counter(table["layer"].to_pylist())),
        "causal_by_layer": _by_layer(Counter({layer: by_layer[layer] for layer in set(table["layer"].to_pylist())})),
        "conflicting": list(results.conflicting),
    }


def _by_layer(counts: Counter) -> dict[str, int]:
    return {str(layer): counts[layer] for layer in sorted(counts)}


def _joined(results: EarlierResults, seen: Coverage, found: _Notes) -> dict[str, Any]:
    """Features of decisions and of responses, held against each other."""
    table = results.features
    decided, with_responses = feature_names(table), set(seen.names)
    declared = dict(zip(decided, table["is_causal"].to_pylist(), strict=True))
    joinable = [name for name in decided if declared[name] and name in with_responses]
    without = [name for name in decided if name not in with_responses]
    undecided = [name for name in seen.names if name not in declared]
    if results.responses.num_rows:
        if any(declared.values()) and not joinable:
            found.failures.append("no causal feature has a response: features and responses are of two studies")
        elif without:
            found.warnings.append(f"{_some(without, 'features')} decided and without a response")
        if undecided:
            found.warnings.append(f"{_some(undecided, 'features')} with responses and not decided")
    return {"joinable_features": joinable, "only_decided": without, "only_in_responses": undecided}


def _repeated(results: EarlierResults, found: _Notes) -> dict[str, Any]:
    table = results.repeated
    grouped = table.group_by(["layer", "feature", "source"]).aggregate([([], "count_all"), ("same", "sum")])
    each = [
        {"feature": feature_name(row["layer"], row["feature"]), "source": row["source"], "trials": row["count_all"],
         "same": row["same_sum"]}
        for row in grouped.sort_by([("layer", "ascending"), ("feature", "ascending")]).to_pylist()
    ]  # fmt: skip
    same = sum(row["same"] for row in each)
    if each:
        found.warnings.append(
            f"{table.num_rows} trials of {len(each)} features come twice, {same} of them with the same response, as "
            "after a resumed run (first kept)"
        )
    return {"trials": table.num_rows, "same": same, "features": each}


def _covered(results: EarlierResults, seen: Coverage, found: _Notes) -> dict[str, Any]:
    """Conditions, trials, and arms that do not vary."""
    if not results.responses.num_rows:
        exact = results.about.get("outcome") == "exact"
        where, told = (found.warnings, "the sweep is of exact probabilities") if exact else (found.failures, "no log")
        where.append(f"there are no responses ({told}): conditions, arms and words cannot be looked at")
        return {"trials": {}, "missing": [], "uneven": [], "one_action": [], "one_response": []}
    missing, uneven, usual = seen.missing(), seen.uneven(), seen.usual()
    if missing:
        lacking = Counter(name for row in missing for name in row["missing"])
        told = ", ".join(f"{name} ({count})" for name, count in lacking.items())
        found.failures.append(f"{_some([row['feature'] for row in missing], 'features')} without a condition: {told}")
    if uneven:
        found.warnings.append(f"{_some([row['feature'] for row in uneven], 'features')} with other numbers of trials")
    wanted = results.about.get("n_trials_per_condition")
    if wanted is not None and set(usual.values()) - {0, wanted}:
        found.warnings.append(
            f"checkpoints say {wanted} trials a condition, most features have {sorted(usual.values())}"
        )
    alike = {name: seen.constant(what) for name, what in (("one_action", "actions"), ("one_response", "texts"))}
    if alike["one_response"]:
        found.warnings.append(
            f"{len(alike['one_response'])} arms of a feature have one response in all trials: without randomness a "
            "repeat is no observation"
        )
    elif alike["one_action"]:
        found.warnings.append(
            f"{len(alike['one_action'])} arms of a feature have one action in all trials: no variance"
        )
    single = _single_prompts(results.responses)
    if single:
        found.warnings.append(
            f"one prompt in {' and '.join(single)}: trials repeat it, so that nothing generalises to other prompts"
        )
    return {"trials": usual, "missing": missing, "uneven": uneven, **alike}


def _single_prompts(responses: pa.Table) -> list[str]:
    """Contexts with one prompt."""
    pairs = responses.select(["context", "prompt"]).group_by(["context", "prompt"]).aggregate([]).to_pylist()
    prompts = Counter(row["context"] for row in pairs)
    return sorted(context for context, count in prompts.items() if count == 1)


def _readable(results: EarlierResults, found: _Notes) -> list[dict[str, Any]]:
    rows = readability(results.responses)
    if results.responses.num_rows and not rows:
        found.warnings.append("no response says whether it could be read: shares of readable answers are not compared")
    for row in rows:
        if row["q"] is not None and row["q"] < ALPHA:
            found.warnings.append(
                f"readable answers of {row['context']} contexts change by {row['difference']:+.1%} under {row['arm']}, "
                f"q {row['q']:.1g}: whatever counts unreadable ones counts that too"
            )
    return rows


def _calibrated(results: EarlierResults, found: _Notes) -> dict[str, Any]:
    """The study's own rule against chance and a common shift."""
    if not results.responses.num_rows:
        return {"not_evaluated": "there are no responses"}
    tested = results.about.get("features_tested", 0)
    try:
        told = calibration(results.features, results.responses, tested)
    except ValueError as error:
        return {"not_evaluated": str(error)}
    if told["not_told"] < results.features.num_rows:
        found.warnings.extend(_calibration_warnings(told))
    return told


def _calibration_warnings(told: dict[str, Any]) -> list[str]:
    declared, tested = told["declared"], told["tested"]
    warnings = []
    if (told["agreement"][told["rule"]] or 0.0) < 1:
        shares = ", ".join(f"{name} on {share:.1%}" for name, share in told["agreement"].items() if share is not None)
        warnings.append(f"what is declared is not what the study's rule says of these responses: agrees {shares}")
    chance = f"chance alone declares about {told['expected']:.0f} of {tested} ({told['rate']:.1%} of null features)"
    if 0 < declared <= told["most_by_chance"]:
        warnings.append(f"{declared} features are declared by the study's rule, and {chance}: no more than that")
    elif declared and told["expected"] > MOST_FALSE * declared:
        warnings.append(f"{declared} features are declared by the study's rule, and {chance}: it corrects for none")
    for name, context in told["contexts"].items():
        error = context["shift_error"]
        if error is None or abs(context["shift"]) <= max(SHIFT_ERRORS * error, LEAST_SHIFT):
            continue
        warnings.append(
            f"patching any feature moves {context['outcome']} in {name} contexts by {context['shift']:+.3f}, as the "
            f"dictionary's error would (a no-op arm tells): {context['rate_under_shift']:.1%} of null features are "
            f"declared under that, {context['rate']:.1%} without"
        )
    return warnings


def _some(names: Sequence[str], what: str) -> str:
    """How many, and the first."""
    listed = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
    return f"{len(names)} {what} ({listed})"
