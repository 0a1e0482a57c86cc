"""An audit on one screen."""

from typing import Any

from causeway.engine.analyses.audit.audit import Validation
from causeway.engine.earlier_results import ARMS

BASELINE = ARMS[0]
# Notes of each kind that are shown; all are in the file.
SHOWN = 12


def lines(found: Validation) -> list[str]:
    """What was read, by layer, joined, covered, readable and calibrated; then what failed and what to beware of."""
    report = found.report
    causal = report["causal"] if report["undecided"] < report["features"] else "no"
    out = [
        f"{len(report['files'])} files ({report['kind']}): {report['features']} features, {causal} declared causal",
        "causal by layer: " + (_pairs(report["causal_by_layer"]) or "none"),
        f"joinable on feature: {len(report['joinable_features'])} causal; decided and without responses "
        f"{len(report['only_decided'])}, the other way {len(report['only_in_responses'])}",
    ]
    if report["trials"]:
        out += [
            f"trials of each feature: {_trials(report['trials'])}",
            f"features without a condition: {len(report['missing'])}; with other numbers of trials: "
            f"{len(report['uneven'])}; trials met twice: {report['repeated']['trials']}",
        ]
    if report["readability"]:
        out.append("readable answers: " + "; ".join(_readable(report["readability"])))
    out += _calibration(report["calibration"])
    for title, notes in (("FAILED", found.failures), ("warning", found.warnings)):
        out += [f"{title}: {note}" for note in notes[:SHOWN]]
        if len(notes) > SHOWN:
            out.append(f"{title}: and {len(notes) - SHOWN} more")
    return out


def _pairs(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items())


def _trials(counts: dict[str, int]) -> str:
    """In one number where all conditions have as many."""
    if len(set(counts.values())) == 1:
        return f"{next(iter(counts.values()))} in each of {len(counts)} conditions"
    return _pairs(counts)


def _readable(rows: list[dict[str, Any]]) -> list[str]:
    """Of each context the share at baseline, and how far its arms are from it."""
    told = []
    for context in dict.fromkeys(row["context"] for row in rows):
        own = [row for row in rows if row["context"] == context]
        shares = [row["valid"] for row in own if row["arm"] == BASELINE]
        changes = [row["difference"] for row in own if row["difference"] is not None]
        words = f"{context} {shares[0]:.1%} at baseline" if shares else f"{context} without a baseline"
        if changes:
            words += f", {min(changes):+.1%} to {max(changes):+.1%} under {len(changes)} arms"
        told.append(words)
    return told


def _calibration(told: dict[str, Any]) -> list[str]:
    if reason := told.get("not_evaluated"):
        return [f"calibration: not evaluated ({reason})"]
    shifts = ", ".join(f"{context['outcome']} {context['shift']:+.3f}" for context in told["contexts"].values())
    return [
        f"rule {told['rule']}: declares {told['declared']} of {told['tested']}; of null features {told['rate']:.1%} "
        f"(about {told['expected']:.0f}); patching shifts {shifts}, under which {told['rate_under_shift']:.1%} "
        f"(about {told['expected_under_shift']:.0f})"
    ]
