"""The section of rankings: which layers and neurons do the answers depend on?"""

from collections.abc import Mapping
from typing import Any

from causeway.ports.files.parquet_files import read_parquet
from causeway.ports.pages.charts.intervals import intervals
from causeway.ports.pages.section import Block, Card, Cards, Chart, DataTable, Missing, Prose, Section
from causeway.ports.pages.sections.rows import INTERVALS, by_size, count, head, headings, typed, with_interval
from causeway.ports.pages.workdir import Result

NEURONS, LAYERS = 30, 60
PATHS = {
    "total": "along all paths to the answer", "direct": "along the path that no later layer takes part in",
    "frozen": "with attention patterns, norms' denominators and the other MLPs as they were",
}  # fmt: skip
LAYER_HEADINGS = {
    "layer": "layer", "stream": "stream", "mode": "replaced by", "scope": "at tokens", "paths": "paths",
    "effect": "change of log odds (nats)", "low": "low", "high": "high", "q": "q", "accuracy": "accuracy",
    "drop": "drop of accuracy", "critical": "critical",
}  # fmt: skip
HEADINGS = {
    "layer": "layer", "neuron": "neuron", "rank": "rank", "direct_effect": "direct effect (nats)", "low": "low",
    "high": "high", "q": "q", "mean_abs": "mean size", "variance": "variance", "rank_mean_abs": "rank by size",
    "rank_variance": "by variance", "rank_direct_effect": "by direct effect", "kept": "kept",
}  # fmt: skip


def section_of(result: Result, anchor: str, title: str) -> Section:
    """The section."""
    lead, about = f"causeway rank, {result.folder}", result.about
    if not about:
        return Section(title, anchor, [Missing(f"No ranking yet: {result.missing}.")], lead)
    blocks: list[Block] = [
        Prose(_answer(about)),
        Cards([
            Card("answered right", _rate(about.get("accuracy")), "of the prompts that measure, as it stands"),
            Card("critical layers", str(len(about["critical_layers"])), f"of {len(about['layers'])}"),
            Card("neurons kept", str(about["keep"]), "of each of these layers"),
        ]),
        *_layers(result), *_neurons(result),
    ]  # fmt: skip
    return Section(title, anchor, blocks, lead)


def _rate(found: Mapping[str, Any] | None) -> str:
    return "unknown" if not found else with_interval(found["rate"], found["low"], found["high"], ".2f")


def _answer(about: Mapping[str, Any]) -> str:
    layers = ", ".join(str(one["layer"]) for one in about["critical_layers"])
    return (
        f"The answers depend most on layers {layers}: {about['rule']}. Layers and neurons were chosen on "
        f"{count(about['choosing_prompts'], 'prompt')} and measured on {about['estimating_prompts']} others."
    )


def _layers(result: Result) -> list[Block]:
    path = result.folder / "layers.parquet"
    if not path.exists():
        return [Prose("Layers were not compared.", "note")]
    table = read_parquet(path)
    several = len(set(table["stream"].to_pylist())) > 1
    rows = [
        {"label": f"layer {row['layer']}" + (f", {row['stream']}" if several else ""), "value": row["effect"],
         "low": row["low"], "high": row["high"], "kind": f"{row['mode']}, {row['scope']}", "paths": row["paths"]}
        for row in sorted(table.to_pylist(), key=lambda row: (row["layer"], row["stream"]))
    ]  # fmt: skip
    charts = [
        _paths(paths, [row for row in rows if row["paths"] == paths])
        for paths in dict.fromkeys(row["paths"] for row in rows)
    ]
    return [*charts, DataTable(
        "layer_table", "Layers in numbers", "The largest change first.", by_size(table, "effect"),
        headings(table, LAYER_HEADINGS), file=str(path))]  # fmt: skip


def _paths(paths: str, rows: list[dict[str, Any]]) -> Block:
    """Changes along some paths from the layer to the answer."""
    caption = (
        "Change of the log odds of the right answer (nats) when a layer's output is replaced, with 95 % intervals over "
        f"prompts. The legend says by what, and at which tokens; {PATHS.get(paths, paths)}.{head(rows, LAYERS, 'rows')}"
    )
    kinds = list(dict.fromkeys(row["kind"] for row in rows))
    chart = intervals("change of log odds (nats)", 0.0, kinds if len(kinds) <= 6 else (), beside=True)
    table = typed(rows[:LAYERS], **INTERVALS)
    return Chart(f"layers_{paths}", f"What layers are worth: {paths} effects", caption, chart, table)


def _neurons(result: Result) -> list[Block]:
    path = result.folder / "neurons.parquet"
    if not path.exists():
        return [Prose("No neurons were kept.", "note")]
    table = by_size(read_parquet(path), "direct_effect")
    rows = [
        {"label": f"{row['layer']}:{row['neuron']}", "kind": f"layer {row['layer']}", "value": row["direct_effect"],
         "low": row["low"], "high": row["high"]}
        for row in table.to_pylist()
    ]  # fmt: skip
    caption = (
        "Direct effects of the kept neurons on the log odds of the right answer (nats), on prompts that did not choose "
        f"them, with 95 % intervals.{head(rows, NEURONS, 'neurons')}"
    )
    chart = intervals("direct effect (nats)")
    return [
        Chart("neurons", "What neurons do directly", caption, chart, typed(rows[:NEURONS], **INTERVALS)),
        DataTable("neuron_table", "Neurons", "The largest direct effect first.", table, headings(table, HEADINGS),
                  file=str(path)),
    ]  # fmt: skip
