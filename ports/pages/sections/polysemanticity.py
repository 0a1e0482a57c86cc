"""The section of polysemanticity: how many unrelated things does each neuron do?"""

from collections.abc import Mapping
from typing import Any

from causeway.ports.files.parquet_files import read_parquet
from causeway.ports.pages.charts.scatter import scatter
from causeway.ports.pages.section import Block, Card, Cards, Chart, DataTable, Missing, Prose, Section
from causeway.ports.pages.sections.rows import headings, typed, with_interval
from causeway.ports.pages.workdir import Result

MOST = 3_000
HEADINGS = {
    "layer": "layer", "neuron": "neuron", "mean_rank": "mean rank", "directions": "directions",
    "directions_null": "by chance", "beyond_component": "beyond its component", "heads": "heads", "acts_on": "acts on",
    "behaviours": "kinds of prompts", "words": "words", "coherence": "likeness of words", "texts": "which words",
}  # fmt: skip
SCORES = {
    "directions": "directions that its effect varies along", "heads": "heads that it acts through",
    "behaviours": "kinds of prompts that it acts on", "words": "words that it is spread over",
}  # fmt: skip


def section_of(result: Result, anchor: str, title: str) -> Section:
    """The section."""
    lead, about = f"causeway polysemanticity, {result.folder}", result.about
    path = result.folder / "polysemanticity.parquet"
    if not about or not path.exists():
        return Section(title, anchor, [Missing(f"No neuron is scored yet: {result.missing}.")], lead)
    table, medians = read_parquet(path), about["medians"]
    known = {name: what for name, what in SCORES.items() if medians.get(name) is not None}
    blocks: list[Block] = [
        Prose(_answer(about, known)),
        Prose("Numbers of things are effective numbers: 1 for one alone, n for n that weigh the same. By chance: what "
              "random directions, heads or words of the same kind would give.", "note"),
        Cards([
            Card("neurons", str(about["neurons"]), f"{about['vary']} whose effect varies"),
            *(Card(name, with_interval(medians[name], medians.get(f"{name}_low"), medians.get(f"{name}_high")),
                   f"median; by chance {with_interval(medians.get(f'{name}_null'), None, None)}") for name in known),
        ]),
        *_chart(table.to_pylist()),
        DataTable("neurons", "Neurons", "By the mean of their ranks (0 to 1), most polysemantic first.", table,
                  headings(table, HEADINGS), file=str(path)),
    ]  # fmt: skip
    return Section(title, anchor, blocks, lead)


def _answer(about: Mapping[str, Any], known: Mapping[str, str]) -> str:
    medians = about["medians"]
    if not known:
        return "No score could be told: no neuron's effect varies over these prompts."
    told = "; ".join(
        f"{medians[name]:.2g} {what} (by chance {with_interval(medians.get(f'{name}_null'), None, None, '.2g')})"
        for name, what in known.items()
    )
    less = sum((medians.get(f"{name}_null") or 0.0) > medians[name] for name in known)
    return f"The median of {about['neurons']} neurons has {told}. In {less} of these {len(known)} it is below chance."


def _chart(rows: list[dict[str, Any]]) -> list[Block]:
    drawn = [
        {"directions": row["directions"], "heads": row["heads"], "kind": f"layer {row['layer']}",
         "name": f"{row['layer']}:{row['neuron']}", "texts": row["texts"]}
        for row in rows if row["directions"] == row["directions"] and row["heads"] == row["heads"]
    ][:MOST]  # fmt: skip
    if not drawn:
        return [Prose("No neuron has both a number of directions and one of heads.", "note")]
    return [Chart(
        "scores", "Directions and heads of neurons", "A point a neuron: over how many directions its effects vary, and "
        "through how many heads it acts; 1 and 1 is one thing done in one place.",
        scatter("directions", "directions", "heads", "heads", "kind", ("name", "texts")),
        typed(drawn, name=str, texts=str, directions=float, heads=float, kind=str),
    )]  # fmt: skip
