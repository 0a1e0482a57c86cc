"""Features as Neuronpedia's dashboards take them: `batch-{n}.json` of some features, as SAEDashboard writes them.

    {"model_id", "layer", "sae_set", "features": [{
        "feature_index", "frac_nonzero", "n_prompts_total", "n_tokens_in_prompt", "dataset",
        "pos_str", "pos_values", "neg_str", "neg_values",                    tokens promoted and suppressed
        "freq_hist_data_bar_values", "freq_hist_data_bar_heights",           middles of bins, and active tokens in each
        "activations": [{"bin_min", "bin_max", "bin_contains", "tokens", "values"}]}]}

Contexts of the largest values have bin_min and bin_contains -1, as there; those of a band have its ends and the share
of the feature's active tokens that lie in it. What is not known here (neurons and features that are alike, a histogram
of all logit weights) stands as an empty list. Bins grow with the values, where SAEDashboard's are of one width.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from causeway.engine.sweep import durable
from causeway.ports.results.context_files import CONTEXTS_FILE, FEATURES_FILE, HISTOGRAMS_FILE, open_table, read_table

BATCH = 128
FOLDER = "neuronpedia"
_Table = Callable[[list[tuple[int, int]]], pa.Table]
_UNKNOWN = (
    *(f"neuron_alignment_{name}" for name in ("indices", "values", "l1")),
    *(f"correlated_{what}_{name}" for what in ("neurons", "features") for name in ("indices", "l1", "pearson")),
    "logits_hist_data_bar_heights", "logits_hist_data_bar_values", "decoder_weights_dist",
)  # fmt: skip


def write_features(workdir: Path, about: Mapping[str, Any], scan: str, dataset: str) -> Path:
    """Write every feature of a finished run, a folder a layer.

    Args:
        workdir: of the run. about: its summary. scan: name of the model there. dataset: of the texts.

    Returns:
        The folder.
    """
    rows = read_table(workdir, FEATURES_FILE).to_pylist()
    tables = open_table(workdir, HISTOGRAMS_FILE), open_table(workdir, CONTEXTS_FILE)
    layers: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        layers[row["layer"]].append(row)
    for layer, own in layers.items():
        folder = workdir / FOLDER / f"{layer}-{about['stream']}"
        durable.make_folder(folder)
        for number, start in enumerate(range(0, len(own), BATCH)):
            part = own[start : start + BATCH]
            content = {
                "model_id": scan, "layer": layer, "sae_set": about["stream"],
                "features": list(_features(tables, part, about, dataset)),
            }  # fmt: skip
            durable.write_bytes(folder / f"batch-{number}.json", json.dumps(content).encode())
    return workdir / FOLDER


def _features(
    tables: Iterable[_Table], part: list[dict[str, Any]], about: Mapping[str, Any], dataset: str
) -> Iterator[dict[str, Any]]:
    keys = [(row["layer"], row["feature"]) for row in part]
    bins, contexts = (_by_feature(table(keys)) for table in tables)
    for row in part:
        feature, own = row["feature"], bins[row["feature"]]
        yield {
            "feature_index": feature, **{name: [] for name in _UNKNOWN}, "frac_nonzero": row["firing_rate"],
            "pos_str": row["promoted"] or [], "pos_values": row["promoted_weights"] or [],
            "neg_str": row["suppressed"] or [], "neg_values": row["suppressed_weights"] or [],
            "freq_hist_data_bar_values": [(bar["low"] + bar["high"]) / 2 for bar in own],
            "freq_hist_data_bar_heights": [bar["count"] for bar in own],
            "n_prompts_total": about["rows"], "n_tokens_in_prompt": about["length"], "dataset": dataset,
            "activations": [_activation(context, row, own, about["bands"]) for context in contexts[feature]],
        }  # fmt: skip


def _by_feature(table: pa.Table) -> dict[int, list[dict[str, Any]]]:
    found: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for row in table.to_pylist():
        found[row["feature"]].append(row)
    return found


def _activation(
    context: Mapping[str, Any], row: Mapping[str, Any], bins: list[dict[str, Any]], bands: int
) -> dict[str, Any]:
    low, high, share = -1.0, abs(row["maximum"]), -1.0
    if context["band"] is not None:
        octave = float(2.0 ** (np.floor(np.log2(high)) - context["band"]))
        low = 0.0 if context["band"] == bands - 1 else octave
        high = min(high, 2 * octave)
        share = sum(bar["count"] for bar in bins if low <= bar["low"] < 2 * octave) / max(row["active_tokens"], 1)
    return {
        "bin_min": low, "bin_max": high, "bin_contains": share, "tokens": context["tokens"],
        "values": context["activations"],
    }  # fmt: skip
