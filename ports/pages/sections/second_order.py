"""The section of second-order effects: what every neuron does through later attention heads."""

from collections.abc import Mapping, Sequence
from typing import Any

from causeway.ports.files.parquet_files import read_parquet
from causeway.ports.pages.charts.by_layer import by_layer
from causeway.ports.pages.charts.intervals import intervals
from causeway.ports.pages.section import Block, Card, Cards, Chart, DataTable, Missing, Prose, Section
from causeway.ports.pages.sections.rows import INTERVALS, by_size, head, typed, with_interval
from causeway.ports.pages.workdir import Result

NEURONS, HEADS, ALPHA = 20, 200, 0.05
HEADINGS = {
    "name": "neuron", "words": "words", "direction": "along", "effect": "mean effect", "low": "low", "high": "high",
    "q": "q", "mean_abs": "mean size", "deviation": "deviation over prompts", "direct": "directly",
}  # fmt: skip
HEAD_HEADINGS = {
    "name": "neuron", "direction": "along", "through": "through head", "effect": "mean effect", "low": "low",
    "high": "high", "p": "p",
}  # fmt: skip
READ = (
    "Order 0 is what a neuron writes that reaches the answer directly; order 1 passes through exactly one later "
    "attention head, with patterns and norms as they were. Mass is the mean size over prompts, summed over neurons."
)


def section_of(result: Result, anchor: str, title: str, results: Sequence[Result]) -> Section:
    """The section; words of neurons are those that `decompose` found on the same weights."""
    lead, about = f"causeway second_order, {result.folder}", result.about
    directions: Mapping[str, Any] = about.get("directions") or {}
    if not directions:
        return Section(title, anchor, [Missing(f"No second-order effects yet: {result.missing}.")], lead)
    neurons = by_size(read_parquet(result.folder / "neurons.parquet"), "mean_abs").to_pylist()
    words = words_beside(about.get("model_fingerprint", ""), results)
    rows = [{**row, "name": f"{row['layer']}:{row['neuron']}"} for row in neurons]
    rows = [{**row, "words": words.get((row["layer"], row["neuron"]))} for row in rows]
    sure = sum(row["q"] is not None and row["q"] < ALPHA for row in rows)
    blocks: list[Block] = [
        *(Prose(_answer(name, one)) for name, one in directions.items()), Prose(READ, "note"),
        Cards([
            Card("prompts", str(about["prompts"])),
            Card("neurons", str(len({row["name"] for row in rows})), f"{len(directions)} directions"),
            Card("mean effect is not 0", str(sure), f"of {len(rows)} neurons and directions, q < {ALPHA}"),
        ]),
        *_by_layer(result), *_by_order(directions), *_neurons(rows, result), *_heads(result),
    ]  # fmt: skip
    return Section(title, anchor, blocks, lead)


def words_beside(fingerprint: str, results: Sequence[Result]) -> dict[tuple[int, int], str]:
    """Words of neurons of a model, of the decompositions among some results."""
    found: dict[tuple[int, int], str] = {}
    for other in results:
        path = other.folder / "neurons.parquet"
        if other.driver == "decompose" and other.about.get("model_fingerprint") == fingerprint and path.exists():
            rows = read_parquet(path).select(["layer", "neuron", "words"]).to_pylist()
            found |= {(row["layer"], row["neuron"]): row["words"] for row in rows}
    return found


def _answer(name: str, found: Mapping[str, Any]) -> str:
    """A direction in a sentence: what its effects come to, and where they lie."""
    orders = found["orders"]
    told = f"Along {name} prompts project {with_interval(found['mean'], found['low'], found['high'])} on average."
    masses = {one["order"]: one["mass"] for one in orders}
    if masses.get(0) and 1 in masses:
        share = masses[1] / masses[0]
        told += f" What neurons do through one later head has {share:.2g} times the mass of what they do directly."
    layers = found.get("concentration", {}).get("layers") or []
    if layers:
        told += f" Most of it comes from layer {layers[0]}"
        told += f", then {', '.join(map(str, layers[1:3]))}." if layers[1:] else "."
    return told


def _by_layer(result: Result) -> list[Block]:
    """How the mass of each order lies over layers."""
    path = result.folder / "layers.parquet"
    if not path.exists():
        return []
    rows = [{**row, "kind": f"{row['direction']}, order {row['order']}"} for row in read_parquet(path).to_pylist()]
    table = typed(rows, layer=int, kind=str, share=float, mass=float, effect=float, low=float, high=float)
    caption = "Share of an order's mass that the neurons of a layer hold; a line for each direction and order."
    return [
        Chart("layers", "Where the effects come from", caption, by_layer("share", "share of the mass", "kind"), table)
    ]


def _by_order(directions: Mapping[str, Any]) -> list[Block]:
    """How fast orders fall off."""
    rows = [
        {"order": one["order"], "mass": one["mass"], "centred": one["centred_mass"], "direction": name}
        for name, found in directions.items()
        for one in found["orders"]
    ]
    if len({row["order"] for row in rows}) < 2:
        return [Prose("One order was computed, so that nothing is said of how orders fall off.", "note")]
    chart = by_layer("mass", "mass", "direction", across="order")
    table = typed(rows, order=int, direction=str, mass=float, centred=float)
    return [Chart("orders", "How orders fall off", "Mass of an order: the mean size of effects over prompts, summed "
                  "over neurons, in units of the direction.", chart, table)]  # fmt: skip


def _neurons(rows: Sequence[Mapping[str, Any]], result: Result) -> list[Block]:
    kinds: dict[str, type] = dict.fromkeys(HEADINGS, float) | dict.fromkeys(("name", "words", "direction"), str)
    shown = dict(HEADINGS)
    if not any(row["words"] for row in rows):
        del shown["words"]
    drawn = [
        {"label": row["name"] + (f"  {row['words']}" if row["words"] else ""), "kind": row["direction"],
         "value": row["effect"], "low": row["low"], "high": row["high"]}
        for row in rows
    ]  # fmt: skip
    caption = (
        "Mean effect over prompts through one later head, in units of the direction, with 95 % intervals, and the "
        f"words that a decomposition found where one is on this page.{head(drawn, NEURONS, 'neurons and directions')}"
    )
    chart = intervals("mean effect", beside=True)
    return [
        Chart("neurons", "The strongest neurons", caption, chart, typed(drawn[:NEURONS], **INTERVALS)),
        DataTable("neuron_table", "Neurons", "The largest mean size first; directly: mean effect of order 0.",
                  typed(rows[:5000], **kinds), shown, file=str(result.folder / "neurons.parquet")),
    ]  # fmt: skip


def _heads(result: Result) -> list[Block]:
    path = result.folder / "heads.parquet"
    if not path.exists():
        return []
    rows = [
        {**row, "name": f"{row['layer']}:{row['neuron']}", "through": f"{row['head_layer']}.{row['head']}"}
        for row in by_size(read_parquet(path), "effect").slice(0, HEADS).to_pylist()
    ]
    kinds: dict[str, type] = dict.fromkeys(HEAD_HEADINGS, float)
    kinds |= dict.fromkeys(("name", "direction", "through"), str)
    return [DataTable("heads", "Through which heads", "Heads as layer.head; the largest effect first.",
                      typed(rows, **kinds), HEAD_HEADINGS, file=str(path))]  # fmt: skip
