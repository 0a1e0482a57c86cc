"""What a baseline looks like: charts of its rates and of how clearly prompts are answered, for pages and as files.

figures/baseline_{behaviour}_{split}.png   histogram of normalised differences
figures/baseline_rates_{split}.png         rates of all behaviours, with intervals
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from causeway.ports.pages.charts.histograms import histograms
from causeway.ports.pages.charts.rates import rates
from causeway.ports.pages.figures import write_figure
from causeway.ports.pages.section import Chart
from causeway.ports.results.baseline_files import figure_path, rates_path

RATES = {"margin_success": "margin success", "sign_accuracy": "sign accuracy"}


def set_name(behaviour: str, split: str) -> str:
    """What charts call a behaviour's split."""
    return f"{behaviour}, {split}"


def rates_chart(found: Sequence[tuple[str, str, Mapping[str, Any]]]) -> Chart:
    """Rates with their intervals.

    Args:
        found: behaviour, split and metrics of each.
    """
    rows = [
        {
            "label": set_name(behaviour, split),
            "measure": name,
            **{part: entry[key].get(part) for part in ("rate", "low", "high")},
            "bound": entry["success_threshold"] if key == "margin_success" else None,
        }
        for behaviour, split, entry in found
        for key, name in RATES.items()
    ]
    kinds = [(name, pa.string() if name in ("label", "measure") else pa.float64()) for name in rows[0]]
    return Chart(
        "rates",
        "Rates by behaviour",
        "Share of prompts; lines are 95 % intervals, drawn where there are 10 groups of prompts or more. Orange: the "
        "share of margin successes that a behaviour needs.",
        rates("share of prompts"),
        pa.Table.from_pylist(rows, pa.schema(kinds)),
    )


def differences_chart(prompts: pa.Table) -> Chart:
    """How clearly prompts are answered.

    Args:
        prompts: a row a prompt: set, normalised_difference and margin.
    """
    return Chart(
        "differences",
        "How clearly prompts are answered",
        "Prompts by the log probability of the right answer less that of the wrong one, in nats a token; orange: the "
        "margin.",
        histograms("normalised_difference", "nats a token", "set", "margin"),
        prompts,
    )


def draw_differences(
    out: Path, behaviour: str, split: str, values: Sequence[float], metrics: Mapping[str, Any]
) -> None:
    """Draws a behaviour's normalised differences, with the margin marked."""
    names, margins = [set_name(behaviour, split)] * len(values), [float(metrics["min_score_diff"])] * len(values)
    prompts = pa.table({"set": names, "normalised_difference": list(values), "margin": margins})
    write_figure(figure_path(out, behaviour, split), differences_chart(prompts))


def draw_rates(out: Path, split: str, metrics: Mapping[str, Mapping[str, Any]]) -> None:
    """Draws rates of all behaviours of a split with their intervals, and the threshold of each."""
    found = [(behaviour, split, entry) for behaviour, entry in metrics.items()]
    write_figure(rates_path(out, split), rates_chart(found))
