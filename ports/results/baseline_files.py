"""What a baseline writes: a table a behaviour, one file of metrics a split, and figures.

    baseline_{behaviour}_{split}.csv          one line a prompt
    baseline_groups_{behaviour}_{split}.csv   one line for each value of a field
    baseline_prompts_{behaviour}_{split}.jsonl  what was run, where prompts are conversations
    baseline_metrics_{split}.json             all behaviours of the split
    figures/baseline_{behaviour}_{split}.png  histogram of normalised differences
    figures/baseline_rates_{split}.png        rates of all behaviours, with intervals

The metrics are written last: with them a split's baseline is whole.
"""

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from causeway.engine.sweep import durable
from causeway.ports.results.figures import new_figure, save_figure

RATES = {"margin_success": "margin success", "sign_accuracy": "sign accuracy"}


def table_path(out: Path, behaviour: str, split: str, kind: str = "") -> Path:
    """The file of a table; `kind` is "groups" for rates by value."""
    return out / "_".join(["baseline", *([kind] if kind else []), behaviour, f"{split}.csv"])


def prompts_path(out: Path, behaviour: str, split: str) -> Path:
    """The file of prompts as a chat template wrote them."""
    return table_path(out, behaviour, split, "prompts").with_suffix(".jsonl")


def metrics_path(out: Path, split: str) -> Path:
    """The file of a split's metrics."""
    return out / f"baseline_metrics_{split}.json"


def names(sets: Iterable[tuple[str, str]]) -> list[str]:
    """Every file that may be written of (behaviour, split) pairs, relative to the folder.

    Raises:
        ValueError: two pairs would be written to one file.
    """
    here, sets = Path(), list(sets)
    own = [path for behaviour, split in sets for path in _own(here, behaviour, split)]
    own += [place(here, split) for split in {split for _, split in sets} for place in (metrics_path, _rates_path)]
    if len(set(own)) < len(own):
        twice = next(path for path in own if own.count(path) > 1)
        raise ValueError(f"--prompts: two behaviours or splits would both be written to {twice}; rename one of them")
    return [path.as_posix() for path in own]


def _own(out: Path, behaviour: str, split: str) -> list[Path]:
    tables = [table_path(out, behaviour, split, kind) for kind in ("", "groups")]
    return [*tables, prompts_path(out, behaviour, split), _figure_path(out, behaviour, split)]


def _figure_path(out: Path, behaviour: str, split: str) -> Path:
    return out / "figures" / f"baseline_{behaviour}_{split}.png"


def _rates_path(out: Path, split: str) -> Path:
    return out / "figures" / f"baseline_rates_{split}.png"


def write_table(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Writes rows with the same fields as CSV."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    durable.write_bytes(path, text.getvalue().encode())


def write_metrics(out: Path, split: str, content: Mapping[str, Any]) -> None:
    """Writes a split's metrics."""
    durable.write_bytes(metrics_path(out, split), (json.dumps(content, indent=2, allow_nan=False) + "\n").encode())


def draw_differences(
    out: Path, behaviour: str, split: str, values: Sequence[float], metrics: Mapping[str, Any]
) -> None:
    """Histogram of a behaviour's normalised differences, with zero and the threshold marked."""
    figure, axes = new_figure(5)
    axes.hist(values, bins=min(30, max(5, len(values) // 3)), color="0.7", edgecolor="0.4")
    axes.axvline(0, color="black", linewidth=1, label="0: the sign turns")
    threshold = metrics["min_score_diff"]
    axes.axvline(threshold, color="tab:red", linestyle="--", label=f"margin {threshold:g}")
    axes.set(xlabel="normalised log-probability difference (nats a token)", ylabel="prompts")
    axes.set_title(f"{behaviour}, {split}: {metrics['decision']}")
    axes.legend()
    save_figure(figure, _figure_path(out, behaviour, split))


def draw_rates(out: Path, split: str, metrics: Mapping[str, Mapping[str, Any]]) -> None:
    """Rates of all behaviours of a split with their intervals, and the threshold of each."""
    figure, axes = new_figure(2 + 1.4 * len(metrics))
    for shift, (key, label) in zip((-0.15, 0.15), RATES.items(), strict=True):
        found = [entry[key] for entry in metrics.values()]
        rates = [f["rate"] for f in found]
        # No bar where there is no interval.
        ends = [(f["rate"], f["rate"]) if f["low"] is None else (f["low"], f["high"]) for f in found]
        spans = [[abs(rate - end[side]) for rate, end in zip(rates, ends, strict=True)] for side in (0, 1)]
        places = [place + shift for place in range(len(found))]
        axes.bar(places, rates, width=0.28, yerr=spans, capsize=3, label=label)
    for place, entry in enumerate(metrics.values()):
        axes.hlines(entry["success_threshold"], place - 0.3, place + 0.3, colors="tab:red", linestyles="--")
    axes.set_xticks(range(len(metrics)), list(metrics), rotation=20, ha="right")
    axes.set(ylim=(0, 1.02), ylabel="share of prompts", title=f"{split}: rates with 95 % intervals")
    axes.legend(loc="lower right")
    save_figure(figure, _rates_path(out, split))
