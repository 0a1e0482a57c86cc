"""The section of pathways: which features drive which, as much as gradients say or not, and along which chains."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from causeway.engine.analyses.integrate.picture import FEATURES, OF_A_LAYER, Arrow, Picture, Spot
from causeway.ports.files.parquet_files import read_parquet
from causeway.ports.pages.charts.intervals import intervals
from causeway.ports.pages.charts.scatter import scatter
from causeway.ports.pages.charts.theme import GREEN, GREY
from causeway.ports.pages.section import Block, Card, Cards, Chart, DataTable, Missing, Prose, Section
from causeway.ports.pages.sections.rows import INTERVALS, by_size, feature, head, headings, share, typed, with_interval
from causeway.ports.pages.workdir import Result
from causeway.ports.results.integrated_picture import integrated_chart

KINDS, COLOURS, STRONGEST, CHAINS = ("validated", "not validated"), (GREEN, GREY), 30, 20
HEADINGS = {
    "source": "source", "target": "target", "effect": "effect", "low": "low", "high": "high", "q": "q",
    "predicted": "as gradients predict", "null_high": "random features stay within \N{PLUS-MINUS SIGN}",
    "prompts": "prompts", "stratum": "chosen as", "kind": "verdict",
}  # fmt: skip
CHAIN_HEADINGS = {
    "path": "chain", "total": "first on last", "mediated": "through those between", "low": "low", "high": "high",
    "share": "share mediated", "q": "q", "confirmed": "confirmed",
}  # fmt: skip


def section_of(result: Result, anchor: str, title: str) -> Section:
    """The section."""
    lead, path = f"causeway pathways, {result.folder}", result.folder / "pathways.parquet"
    if not result.whole:
        return Section(title, anchor, [Missing(f"No pathways yet: {result.missing}.")], lead)
    pairs, chains = _named(read_parquet(path)), read_parquet(result.folder / "chains.parquet")
    about = result.about
    blocks: list[Block] = [Prose(_answer(about)), Cards(_cards(about, chains))]
    if not pairs.num_rows:
        return Section(title, anchor, [*blocks, Prose("No pair of features was measured.", "note")], lead)
    validated = [row for row in pairs.to_pylist() if row["validated"]]
    if validated:
        blocks.append(integrated_chart(_picture(validated), "pathways of a feature"))
    blocks += [*_charts(pairs), *_chains(chains)]
    caption = (
        "Validated pairs first, the largest effect first. Effect: change of the target's value before its threshold "
        f"when the source is set to {about.get('set_to', 'its value')}, mean over prompts, with a 95 % interval."
    )
    blocks.append(DataTable("pairs", "Pairs that were measured", caption, pairs, HEADINGS, file=str(path)))
    return Section(title, anchor, blocks, lead)


def _answer(about: Mapping[str, Any]) -> str:
    """What was found, in sentences."""
    counts, fit = about["counts"], about["calibration"].get("all", {})
    told = (
        f"{share(counts['validated'], counts['tested'], 'tested pair')} of features "
        f"{'is a pathway' if counts['validated'] == 1 else 'are pathways'}: setting the source changes the target, "
        f"beyond what setting random features does, on {about['prompts']['estimating']} prompts "
        "that had no part in choosing it."
    )
    if fit.get("slope") is not None:
        slope = with_interval(fit["slope"], fit["slope_low"], fit["slope_high"])
        told += (
            f" Measured effects are {slope} times as large as gradients predict, and have the predicted sign in "
            f"{fit['sign']:.0%} of the pairs."
        )
    return told


def _cards(about: Mapping[str, Any], chains: pa.Table) -> list[Card]:
    counts, fit = about["counts"], about["calibration"].get("all", {})
    confirmed = sum(map(bool, chains["confirmed"].to_pylist()))
    order = with_interval(fit.get("spearman"), fit.get("spearman_low"), fit.get("spearman_high"))
    return [
        Card("pathways", str(counts["validated"]), f"of {counts['tested']} pairs tested"),
        Card("chains", str(confirmed), f"confirmed, of {about['chains']['chosen']} chosen"),
        Card("predicted and measured", order, "rank correlation"),
        Card("cannot tell", str(counts["cannot_tell"]), "pairs with too few prompts"),
    ]


def _named(table: pa.Table) -> pa.Table:
    """Pairs with names and a verdict, validated ones first."""
    rows = by_size(table, "effect", "validated")
    for place, end in enumerate(("source", "target")):
        ids = zip(rows[f"{end}_layer"].to_pylist(), rows[f"{end}_feature"].to_pylist(), strict=True)
        rows = rows.add_column(place, end, pa.array([feature(*one) for one in ids], pa.string()))
    kinds = [KINDS[not validated] for validated in rows["validated"].to_pylist()]
    return rows.append_column("kind", pa.array(kinds, pa.string()))


def _picture(rows: Sequence[Mapping[str, Any]]) -> Picture:
    """Validated pairs as a picture: of each layer the features with the strongest."""
    sizes: dict[tuple[int, str], int] = defaultdict(int)
    for row in rows:
        for end in ("source", "target"):
            sizes[row[f"{end}_layer"], row[end]] += 1
    layers: dict[int, list[str]] = defaultdict(list)
    for layer, name in sizes:
        if len(layers[layer]) < OF_A_LAYER and sum(map(len, layers.values())) < FEATURES:
            layers[layer].append(name)
    spots = [
        Spot(layer, (len(names) - 1) / 2 - place, name, sizes[layer, name], None, ())
        for layer, names in sorted(layers.items())
        for place, name in enumerate(names)
    ]
    places = {spot.name: place for place, spot in enumerate(spots)}
    arrows = [
        Arrow(places[row["source"]], places[row["target"]], *_drive(row, rows))
        for row in rows
        if {row["source"], row["target"]} <= places.keys()
    ]
    return Picture(tuple(spots), tuple(arrows), len(sizes))


def _drive(row: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> tuple[float, int]:
    """An arrow's share of the largest into its target; and whether more of the source is more of it."""
    largest = max(abs(one["effect"]) for one in rows if one["target"] == row["target"])
    up = (row["effect"] > 0) == (row["source_change"] > 0)
    return abs(row["effect"]) / (largest or 1.0), 1 if up else -1


def _charts(pairs: pa.Table) -> list[Block]:
    unit = "change of the target's value"
    drawn = [row | {"label": f"{row['source']} \N{RIGHTWARDS ARROW} {row['target']}"} for row in pairs.to_pylist()]
    rows = [row | {"value": row["effect"]} for row in drawn[:STRONGEST]]
    return [
        Chart(
            "predicted", "Predicted by gradients, and measured",
            "A point a pair: its effect as gradients of other prompts predict it and as it was measured, in the "
            "dictionary's own scale. Dashed: as large as predicted. Points beyond it, away from 0: larger.",
            scatter("predicted", "predicted change", "effect", "measured change", "kind", ("label",), same=True,
                    zero=True, kinds=KINDS, colours=COLOURS),
            typed(drawn, label=str, predicted=float, effect=float, q=float, kind=str),
        ),
        Chart(
            "effects", "Effects of the strongest pairs",
            f"Change of the target's value before its threshold, with 95 % intervals over prompts."
            f"{head(drawn, STRONGEST, 'pairs')}",
            intervals(unit, 0.0, KINDS, COLOURS), typed(rows, **INTERVALS),
        ),
    ]  # fmt: skip


def _chains(chains: pa.Table) -> list[Block]:
    """How much of what the first feature does to the last runs through those between."""
    if not chains.num_rows:
        return [Prose("No chain of two or more validated pathways was found.", "note")]
    rows = [
        {"label": row["path"].replace("->", "\N{RIGHTWARDS ARROW}"), "value": row["share"], "low": row["share_low"],
         "high": row["share_high"], "kind": "confirmed" if row["confirmed"] else "not confirmed"}
        for row in chains.to_pylist()[:CHAINS]
    ]  # fmt: skip
    caption = (
        "Share of what the first feature does to the last that is gone when those between are held at their clean "
        "values, with 95 % intervals; 1: all of it runs along the chain."
    )
    chart = intervals("share mediated", 0.0, ("confirmed", "not confirmed"), COLOURS)
    return [
        Chart("chains", "Chains", caption + head(chains, CHAINS, "chains"), chart, typed(rows, **INTERVALS)),
        DataTable("chain_table", "Chains in numbers", "Changes of the last feature's value before its threshold.",
                  chains, headings(chains, CHAIN_HEADINGS)),
    ]  # fmt: skip
