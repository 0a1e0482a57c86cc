"""What was found, on one page: counts, calibration, each target's strongest pathways, and the confirmed chains.

validated_pathways.json    the validated pairs, by target, the strongest first
pathways.json              what was asked, counts, calibration, and for each target how many pairs were measured,
                           validated, and could not be told
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from causeway.engine.analyses.pathways.pathways import Pathways
from causeway.engine.analyses.pathways.selection import SELECTED
from causeway.engine.earlier_results import feature_name
from causeway.engine.stats.paired import FEWEST_PROMPTS, METHOD

SHOWN = 12
CHAINS_TEST = (
    "chains are chosen by discovery; q is over all that are chosen, those with a pair that is not validated counting "
    "with p = 1; sizes of confirmed chains and validated pairs are too large by what passing asks"
)


def with_names(table: pa.Table) -> list[dict[str, Any]]:
    """Rows of pathways.parquet, source and target by name."""
    return [
        {
            "source": feature_name(row["source_layer"], row["source_feature"]),
            "target": feature_name(row["target_layer"], row["target_feature"]),
            **row,
        }
        for row in table.to_pylist()
    ]


def validated(found: Pathways) -> list[dict[str, Any]]:
    """Validated pairs, the strongest of each target first."""
    kept = found.pathways.filter(pc.fill_null(found.pathways["validated"], False))
    rows = with_names(kept)
    return sorted(rows, key=lambda row: (row["target_layer"], row["target_feature"], -abs(row["effect"])))


def summarise(found: Pathways) -> dict[str, Any]:
    """pathways.json."""
    table, chains = found.pathways, found.chains
    selected = table.filter(pc.equal(table["stratum"], SELECTED))
    return {
        **found.summary,
        "unit": "the prompt; effects are changes of the target's pre-activation when the source is set",
        "test": METHOD,
        "counts": _counts(table),
        "counts_selected": _counts(selected),
        "original_rules": {
            rule: pc.sum(table[f"original_{rule}"]).as_py() for rule in ("pathway", "strong", "correlated")
        },
        "per_target": list(_targets(table)),
        "chains": {
            "chosen": found.summary["chains_chosen"],
            "scored": chains.num_rows,
            "confirmed": pc.sum(chains["confirmed"]).as_py() or 0,
            "test": CHAINS_TEST,
        },
    }


def _counts(table: pa.Table) -> dict[str, int]:
    return {
        "pairs": table.num_rows,
        "tested": table.num_rows - table["q"].null_count,
        "validated": pc.sum(table["validated"]).as_py() or 0,
        "cannot_tell": table["validated"].null_count,
    }


def _targets(table: pa.Table) -> Iterator[dict[str, Any]]:
    keys = np.stack([table[column].to_numpy() for column in ("target_layer", "target_feature")], axis=1)
    for layer, feature in np.unique(keys, axis=0).tolist():
        mine = table.filter(pa.array((keys == (layer, feature)).all(axis=1)))
        row = mine.take([int(np.argmax(np.abs(mine["effect"].to_numpy())))]).to_pylist()[0]
        strongest = {"source": feature_name(row["source_layer"], row["source_feature"]), "effect": row["effect"]}
        yield {"target": feature_name(layer, feature), **_counts(mine), "strongest": strongest}


def lines(found: Pathways) -> list[str]:
    """A report of one screen."""
    about, rows = summarise(found), validated(found)
    counts, prompts = about["counts"], about["prompts"]
    told = (
        f"{about['candidates']} candidates below {about['targets']} targets on {prompts['choosing']} prompts; "
        f"{counts['pairs']} pairs of {about['sources']} sources measured on {prompts['estimating']} others"
    )
    out = [told, *_calibrated(about["calibration"])]
    out.append(f"validated: {counts['validated']} of {counts['tested']} tested")
    if counts["cannot_tell"]:
        out[-1] += f"; {counts['cannot_tell']} cannot be told ({_why(about)})"
    strongest = sorted(rows, key=lambda row: -abs(row["effect"]))[:SHOWN]
    out += [
        f"  {row['source']:>10} -> {row['target']:<10} {row['effect']:+.3g} in [{row['low']:+.3g}, "
        f"{row['high']:+.3g}], predicted {row['predicted']:+.3g}, q {row['q']:.2g}"
        for row in strongest
    ]
    return out + _chain_lines(found, about)


def _why(about: dict[str, Any]) -> str:
    if about["prompts"]["estimating"] < FEWEST_PROMPTS:
        return f"{about['prompts']['estimating']} prompts are too few; needs {FEWEST_PROMPTS} in each half"
    return "no random features to compare with" if not about["settings"]["draws"] else "too few prompts move"


def _calibrated(calibration: dict[str, dict[str, Any]]) -> list[str]:
    """Prediction against measurement, by stratum."""
    return [
        f"  {stratum} pairs ({own['pairs']}): measured {_of(own, 'slope')} x predicted, rank correlation "
        f"{_of(own, 'spearman')}, same sign {_of(own, 'sign')}"
        for stratum, own in calibration.items()
        if own["slope"] is not None
    ]


def _of(own: dict[str, Any], name: str) -> str:
    if own[name] is None:
        return "unknown"
    low, high = own[f"{name}_low"], own[f"{name}_high"]
    return f"{own[name]:.2f}" + (f" [{low:.2f}, {high:.2f}]" if low is not None and high is not None else "")


def _chain_lines(found: Pathways, about: dict[str, Any]) -> list[str]:
    scored, chosen, all_of = about["chains"]["scored"], about["chains"]["chosen"], about["chains_found"]
    if not scored:
        return [f"no chain of validated pairs ({chosen} chosen by discovery, of {all_of})"]
    out = [
        f"chains: {about['chains']['confirmed']} of {scored} confirmed by mediation ({chosen} chosen by discovery, of "
        f"{all_of}; q is over all that were chosen)"
    ]
    kept = [row for row in found.chains.to_pylist() if row["confirmed"]]
    for row in sorted(kept, key=lambda row: -abs(row["mediated"]))[:SHOWN]:
        share = "" if row["share"] is None else f", {row['share']:.0%} of the total"
        out.append(f"  {row['path']}: {row['mediated']:+.3g} in [{row['low']:+.3g}, {row['high']:+.3g}]{share}")
    return out
