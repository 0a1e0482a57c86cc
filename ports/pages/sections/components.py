"""The section of components: along which direction does each neuron act through later attention, on how few prompts?"""

from collections.abc import Mapping
from typing import Any

from causeway.ports.files.parquet_files import read_parquet
from causeway.ports.pages.charts.scatter import scatter
from causeway.ports.pages.section import Block, Card, Cards, Chart, DataTable, Facts, Missing, Prose, Section
from causeway.ports.pages.sections.rows import by_size, count, headings, typed
from causeway.ports.pages.workdir import Result

MOST = 3_000
HEADINGS = {
    "layer": "layer", "neuron": "neuron", "variance": "variance", "explained": "explained",
    "explained_held_out": "explained, held out", "random_direction": "random direction",
    "single_head": "one head alone, held out", "participation_ratio": "prompts it acts on (ratio)",
    "mass_top_10": "mass of the top 10 %", "share_above": "share of prompts above threshold",
}  # fmt: skip
MEDIANS = {
    "layer": "layer", "neurons": "neurons", "explained": "explained", "explained_held_out": "explained, held out",
    "random_direction": "random direction", "single_head": "one head alone", "participation_ratio":
    "prompts it acts on (ratio)", "mass_top_10": "mass of the top 10 %",
}  # fmt: skip


def section_of(result: Result, anchor: str, title: str) -> Section:
    """The section."""
    lead, about = f"causeway components, {result.folder}", result.about
    path = result.folder / "neurons.parquet"
    if not about.get("by_layer") or not path.exists():
        return Section(title, anchor, [Missing(f"No components yet: {result.missing}.")], lead)
    table = read_parquet(path)
    layers = [{"layer": one["layer"], "neurons": one["neurons"], **one["medians"]} for one in about["by_layer"]]
    vary = sum(one["vary"] for one in about["by_layer"])
    blocks: list[Block] = [
        *(Prose(_answer(one)) for one in about["by_layer"]),
        Cards([
            Card("neurons", str(about["neurons"]), f"{vary} whose effect varies over prompts"),
            Card("prompts", str(about["prompts"]), f"{len(about['chosen']['held_out'])} held out"),
        ]),
    ]  # fmt: skip
    if not vary:
        return Section(title, anchor, blocks, lead)
    kinds = dict.fromkeys(MEDIANS, float) | {"layer": int, "neurons": int}
    blocks += [
        _scatter(by_size(table, "variance").to_pylist()[:MOST]),
        DataTable("layers", "Medians of layers", "Shares of a neuron's variance over prompts, and how it is spread.",
                  typed(layers, **kinds), MEDIANS),
        DataTable("neurons", "Neurons", "The largest variance first.", by_size(table, "variance"),
                  headings(table, HEADINGS), file=str(path)),
    ]  # fmt: skip
    if about.get("units"):
        blocks.append(Facts("What the numbers are", about["units"]))
    return Section(title, anchor, blocks, lead)


def _answer(found: Mapping[str, Any]) -> str:
    """A layer in a sentence."""
    if not found["vary"]:
        return f"Layer {found['layer']}: no neuron's effect varies over these prompts."
    medians = found["medians"]
    told = (
        f"Layer {found['layer']}: of {count(found['vary'], 'neuron')}, half have a direction that holds at least "
        f"{medians['explained']:.0%} of what their effect varies by over prompts (a random direction of that space: "
        f"{medians['random_direction']:.0%})"
    )
    if medians.get("explained_held_out") is not None:
        told += f"; on prompts that did not choose it, {medians['explained_held_out']:.0%}"
    return told + "."


def _scatter(rows: list[dict[str, Any]]) -> Block:
    """What the component explains where it was found, and held out, or beside a single head."""
    for row in rows:
        row["kind"], row["name"] = f"layer {row['layer']}", f"{row['layer']}:{row['neuron']}"
    held = any(_known(row["explained_held_out"]) for row in rows)
    up, unit = ("explained_held_out", "explained, held out") if held else ("single_head", "one head alone")
    drawn = [row for row in rows if _known(row["explained"]) and _known(row[up])]
    kinds: dict[str, type] = {"kind": str, "name": str, "explained": float, up: float}
    return Chart(
        "explained", "How much one direction explains", "A point a neuron: the share of its variance along its "
        f"component, on the prompts that chose it (across) and {unit} (upwards). Dashed: equal.",
        scatter("explained", "explained where chosen", up, unit, "kind", ("name",), same=True), typed(drawn, **kinds),
    )  # fmt: skip


def _known(value: float | None) -> bool:
    return value is not None and value == value
