"""The section of `contexts`: how often features are active, and a card for some of them.

A card shows the texts in which a feature is most active and some drawn from each octave below, tokens shaded by its
value; a histogram of its values, how often it is active, and the tokens that its decoder row promotes and suppresses.
There are far more features than a page holds: those with labels come first, then some of each layer, evenly from the
most frequent to the rarest.
"""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from causeway.ports.pages.charts.by_layer import by_layer
from causeway.ports.pages.section import (
    Block,
    Card,
    Cards,
    Chart,
    DataTable,
    FeatureCard,
    FeatureCards,
    Missing,
    Section,
    Snippet,
)
from causeway.ports.pages.workdir import Result
from causeway.ports.results.context_files import CONTEXTS_FILE, FEATURES_FILE, HISTOGRAMS_FILE, read_table

# Cards of a page, and contexts of the largest values on each.
SHOWN, TOP_SHOWN = 24, 6
HEADINGS = {
    "layer": "layer", "feature": "feature", "label": "label", "firing_rate": "share of tokens", "low": "from",
    "high": "to", "mean_active": "mean when active", "maximum": "largest value",
}  # fmt: skip
Key = tuple[int, int]


def section_of(result: Result, anchor: str, title: str) -> Section:
    """The section; of a run that has not ended, how far it is."""
    lead = f"causeway contexts, {result.folder}"
    if not result.whole:
        return Section(title, anchor, [Missing(f"No contexts yet: {result.missing}.")], lead)
    about, features = result.about, read_table(result.folder, FEATURES_FILE)
    active = features.filter(pa.compute.greater(features["active_tokens"], 0))
    blocks: list[Block] = [Cards(_figures(about)), *_charts(about)]
    if not active.num_rows:
        return Section(title, anchor, [*blocks, Missing("No feature is active at any token of the texts.")], lead)
    blocks.append(_cards(result, active))
    blocks.append(DataTable(
        "features", "Features", "The features that are active at most tokens. Shares are of all tokens that were read, "
        f"with 95 % intervals over texts ({about['texts']} of them).",
        active.select(list(HEADINGS)).sort_by([("firing_rate", "descending")]), HEADINGS,
        file=str(result.folder / FEATURES_FILE),
    ))  # fmt: skip
    return Section(title, anchor, blocks, lead)


def _figures(about: Mapping[str, Any]) -> list[Card]:
    return [
        Card("tokens read", f"{about['tokens']:,}", f"{about['texts']:,} texts"),
        Card("features", f"{about['features']:,}", f"{about['kind']}, at {about['stream']}"),
        Card("never active", f"{about['dead']:,}", "in these texts"),
    ]


def _charts(about: Mapping[str, Any]) -> list[Block]:
    columns = {"layer": [], "active": [], "kind": []}  # type: dict[str, list[Any]]
    for layer in about["layers"]:
        columns["layer"].append(layer["layer"])
        columns["active"].append(layer["active_a_token"])
        columns["kind"].append("all features looked at")
    return [Chart(
        "active", "Active features of a token", "The mean number of features that are active at a token, by layer.",
        by_layer("active", "active features a token", "kind"), pa.table(columns),
    )] if len(about["layers"]) > 1 else []  # fmt: skip


def cards_of(result: Result, keys: Sequence[Key]) -> list[FeatureCard]:
    """Cards of some features, in their order; none of those that are never active, or were not looked at."""
    names = (FEATURES_FILE, CONTEXTS_FILE, HISTOGRAMS_FILE)
    features, contexts, bins = (_by_key(read_table(result.folder, name, keys)) for name in names)
    found = [(key, features[key][0]) for key in keys if features[key] and features[key][0]["active_tokens"]]
    return [_card(row, contexts[key], bins[key], result.about) for key, row in found]


HOW_READ = (
    "A line is a text around the token at which the feature is strongest there (framed); tokens are shaded by the "
    "feature's value, as far as the largest of the line. Hold the pointer over a token, a bar or a word for its "
    "number. Bars: how many tokens have which value; each bar is up to half as wide again as the one before. Words: "
    "what the feature adds to the logits of next tokens by itself."
)


def _cards(result: Result, active: pa.Table) -> FeatureCards:
    cards = cards_of(result, _chosen(active))
    return FeatureCards(
        f"{len(cards)} of {active.num_rows} active features",
        f"Features with labels come first, then some of each layer, from the most frequent to the rarest. {HOW_READ}",
        cards,
    )


def _chosen(active: pa.Table) -> list[Key]:
    """The features that have a card: those with labels, then of each layer some, evenly by firing rate."""
    ordered = active.sort_by([("layer", "ascending"), ("firing_rate", "descending"), ("feature", "ascending")])
    slim = ordered.select(["layer", "label"])
    layers, labels = (slim[name].to_pylist() for name in ("layer", "label"))
    taken = [place for place, label in enumerate(labels) if label][:SHOWN]
    of_layer: dict[int, list[int]] = defaultdict(list)
    for place, layer in enumerate(layers):
        if not labels[place]:
            of_layer[layer].append(place)
    each = -(-(SHOWN - len(taken)) // max(len(of_layer), 1))
    more = [place for own in of_layer.values() for place in _spread(own, each)]
    places = [*taken, *_spread(more, SHOWN - len(taken))]
    taken_rows = ordered.select(["layer", "feature"]).take(pa.array(places, pa.int64())).to_pylist()
    return [(row["layer"], row["feature"]) for row in taken_rows]


def _spread(items: Sequence[int], count: int) -> list[int]:
    """Some items, evenly from the first to the last."""
    if count < 2 or len(items) <= count:
        return list(items[: max(count, 0)])
    return [items[round(i * (len(items) - 1) / (count - 1))] for i in range(count)]


def _by_key(table: pa.Table) -> Mapping[Key, list[dict[str, Any]]]:
    found: dict[Key, list[dict[str, Any]]] = defaultdict(list)
    for row in table.to_pylist():
        found[row["layer"], row["feature"]].append(row)
    return found


def _card(
    row: Mapping[str, Any], contexts: Sequence[Mapping[str, Any]], bins: Sequence[Mapping[str, Any]],
    about: Mapping[str, Any],
) -> FeatureCard:  # fmt: skip
    interval = "" if row["low"] is None else f" ({row['low']:.3%} to {row['high']:.3%})"
    figures = [
        f"active at {row['firing_rate']:.3%} of tokens{interval}",
        f"in {row['active_rows']:,} of {about['rows']:,} rows of text",
        f"mean when active {row['mean_active']:.3g}, largest {row['maximum']:.3g}",
    ]
    if row["nearest"]:
        alike = zip(row["nearest"], row["nearest_cosines"], strict=True)
        figures.append("writes like " + ", ".join(f"{feature} (cosine {cosine:.2f})" for feature, cosine in alike))
    top = [_snippet(context) for context in contexts if context["band"] is None][:TOP_SHOWN]
    groups = [("strongest", top)]
    for band in range(about["bands"]):
        drawn = [_snippet(context) for context in contexts if context["band"] == band]
        groups.append((f"drawn from those of {_ends(row['maximum'], band, about['bands'])}", drawn))
    bars = [(bar["low"], bar["high"], bar["count"]) for bar in bins]
    words = (list(zip(row[name] or [], row[f"{name}_weights"] or [], strict=True)) for name in
             ("promoted", "suppressed"))  # fmt: skip
    promoted, suppressed = words
    title = f"layer {row['layer']}, feature {row['feature']}"
    return FeatureCard(title, row["label"] or "", figures, bars, promoted, suppressed, groups)


def _ends(maximum: float, band: int, bands: int) -> str:
    """Between which sizes the strongest tokens of a band's contexts lie."""
    low = 2.0 ** (math.frexp(abs(maximum))[1] - 1 - band)
    high = f"{abs(maximum) if band == 0 else 2 * low:.3g}"
    return f"less than {high}" if band == bands - 1 else f"{low:.3g} to {high}"


def _snippet(context: Mapping[str, Any]) -> Snippet:
    note = f"{context['value']:.3g}, text {context['text']}"
    return Snippet(context["tokens"], context["activations"], context["peak"], note)
