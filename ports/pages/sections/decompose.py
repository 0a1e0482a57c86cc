"""The section of decompositions: which few words say what a neuron does through later attention?"""

from collections.abc import Mapping, Sequence
from typing import Any

from causeway.ports.files.parquet_files import read_parquet
from causeway.ports.pages.charts.by_layer import by_layer
from causeway.ports.pages.charts.scatter import scatter
from causeway.ports.pages.charts.theme import GREEN, GREY
from causeway.ports.pages.section import Block, Card, Cards, Chart, DataTable, Missing, Prose, Section
from causeway.ports.pages.sections.rows import by_size, count, typed
from causeway.ports.pages.workdir import Result

MOST, ALPHA, KINDS, COLOURS = 3_000, 0.05, ("beyond chance", "as chance"), (GREEN, GREY)
HEADINGS = {
    "name": "neuron", "words": "words", "cosine": "cosine", "null_cosine": "random direction", "gain": "gain",
    "q": "q", "held_cosine": "cosine, held out", "within": "inside the words' space",
}  # fmt: skip


def section_of(result: Result, anchor: str, title: str) -> Section:
    """The section."""
    lead, about = f"causeway decompose, {result.folder}", result.about
    path = result.folder / "neurons.parquet"
    if not about.get("layers") or not path.exists():
        return Section(title, anchor, [Missing(f"No words of neurons yet: {result.missing}.")], lead)
    rows = [_row(row) for row in by_size(read_parquet(path), "gain").to_pylist()]
    kinds: dict[str, type] = dict.fromkeys(HEADINGS, float) | {"name": str, "words": str}
    blocks: list[Block] = [
        Prose(_answer(about, rows)),
        Prose("A word with a minus is taken away. Words describe a direction; that the neuron means them does not "
              "follow. Cosine: how nearly the words together point along it, 1 exactly.", "note"),
        Cards([
            Card("neurons", str(len(rows)), f"{len(about['layers'])} layers"),
            Card("words to choose from", str(about["texts"]), f"{about['kind']}, at most {about['atoms']} a neuron"),
            Card("random directions", str(about["null_draws"]), "decomposed for comparison"),
        ]),
    ]  # fmt: skip
    if not rows:
        return Section(title, anchor, [*blocks, Prose("No neuron's effect varies.", "note")], lead)
    blocks += [*_charts(rows, about["layers"]), DataTable(
        "neurons", "Neurons and their words", "The largest gain over random directions first.",
        typed(rows, **kinds), HEADINGS, file=str(path))]  # fmt: skip
    return Section(title, anchor, blocks, lead)


def _row(row: dict[str, Any]) -> dict[str, Any]:
    sure = row["q"] is not None and row["q"] < ALPHA
    return {**row, "name": f"{row['layer']}:{row['neuron']}", "kind": KINDS[not sure]}


def _answer(about: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> str:
    sure = sum(row["kind"] == KINDS[0] for row in rows)
    told = (
        f"Words describe {sure} of {count(len(rows), 'neuron')} better than they describe random directions "
        f"(q < {ALPHA})."
    )
    for one in about["layers"]:
        if one.get("mean_cosine_by_atoms"):
            told += (
                f" In layer {one['layer']}, {about['atoms']} words reach a cosine of "
                f"{one['mean_cosine_by_atoms'][-1]:.2f} on average, {one['mean_null_cosine_by_atoms'][-1]:.2f} for "
                "random directions."
            )
    return told


def _charts(rows: Sequence[Mapping[str, Any]], layers: Sequence[Mapping[str, Any]]) -> list[Block]:
    drawn = [row for row in rows if row["cosine"] is not None and row["null_cosine"] is not None][:MOST]
    steps = [
        {"words": place + 1, "cosine": value, "kind": f"layer {one['layer']}{told}"}
        for one in layers
        for name, told in (("mean_cosine_by_atoms", ""), ("mean_null_cosine_by_atoms", ", random directions"))
        for place, value in enumerate(one.get(name) or ())
    ]
    chart = scatter(
        "null_cosine", "cosine of random directions", "cosine", "cosine of the neuron", "kind", ("name", "words"),
        same=True, kinds=KINDS, colours=COLOURS,
    )  # fmt: skip
    points = typed(drawn, name=str, words=str, null_cosine=float, cosine=float, q=float, kind=str)
    return [
        Chart("cosines", "How well words describe neurons", "A point a neuron: the cosine of its words' sum with its "
              "direction, against what random directions in the same space reach. Dashed: equal.", chart, points),
        Chart("atoms", "How many words it takes", "Mean cosine over neurons with one word, two, and so on.",
              by_layer("cosine", "mean cosine", "kind", across="words"),
              typed(steps, words=int, cosine=float, kind=str)),
    ]  # fmt: skip
