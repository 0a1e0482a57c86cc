"""The section of an integration: what all analyses together say of each feature, one story a feature."""

from collections.abc import Mapping, Sequence
from typing import Any

import networkx as nx

from causeway.engine.analyses.integrate.feature_table import words_of
from causeway.engine.analyses.integrate.picture import picture
from causeway.ports.files.parquet_files import read_parquet
from causeway.ports.pages.section import (
    Block,
    Card,
    Cards,
    DataTable,
    FeatureCard,
    FeatureCards,
    Missing,
    Prose,
    Section,
)
from causeway.ports.pages.sections.rows import count, headings, typed, with_interval
from causeway.ports.pages.workdir import Result, read_json
from causeway.ports.results.integrated_picture import integrated_chart

STORIES, NAMED = 20, 4
HEADINGS = {
    "name": "feature", "evidence": "kinds of evidence", "effect": "effect", "effect_q": "q",
    "effect_outcome": "outcome",
    "upstream": "driven by", "downstream": "drives", "chains": "chains", "replicated": "replicated in replay",
    "texts": "words", "behaviour": "behaviour", "behaviour_effect": "its effect", "behaviour_q": "its q",
    "cluster": "cluster",
}  # fmt: skip
PARTS = {
    "effect": "change what the model does", "upstream": "are driven by others", "downstream": "drive others",
    "replay": "change others in rollouts", "texts": "change which words are written",
    "behaviours": "change a parsed outcome of what is written",
}  # fmt: skip


def section_of(result: Result, anchor: str, title: str) -> Section:
    """The section."""
    lead = f"causeway integrate, {result.folder}"
    whole = read_json(result.folder / "integrated.json")
    if not whole.get("summary"):
        return Section(title, anchor, [Missing(f"Nothing is brought together yet: {result.missing}.")], lead)
    about, stories = whole["summary"], whole["features"]
    cards = [
        Card("features", str(about["features"]), f"named by {len(about['stages'])} analyses"),
        Card("pathways", str(about["pathways"]["found"]), f"of {about['pathways']['tested']} tested"),
        Card("replicated in replay", str(about["pathways"]["replicated"]), "rows of half the prompts and the other"),
        Card("clusters", str(about["clusters"]), f"{about['clusters_above_chance']} more alike than chance"),
    ]
    blocks: list[Block] = [Prose(_answer(about)), Cards(cards)]
    if about["missing"]:
        blocks.append(Prose(f"Not given, so that nothing is said of it: {', '.join(about['missing'])}.", "note"))
    if stories:
        blocks.append(integrated_chart(picture(stories, nx.read_graphml(result.folder / "integrated.graphml"))))
        blocks.append(_stories(stories))
    blocks += [*_clusters(read_json(result.folder / "clusters.json")), _table(result)]
    return Section(title, anchor, blocks, lead)


def _answer(about: Mapping[str, Any]) -> str:
    """How many features there is evidence of, of each kind."""
    found = [f"{number} {PARTS.get(part, part)}" for part, number in about["found"].items() if number]
    told = f"Of {count(about['features'], 'feature')} that the analyses name, "
    return (
        told
        + (", ".join(found) if found else "none has an effect that was found")
        + (
            f" (q < {about['alpha']:g}). A feature of more kinds of evidence stands before others; a row that was "
            "tested and not found is no evidence that there is nothing."
        )
    )


def _stories(stories: Sequence[Mapping[str, Any]]) -> Block:
    told = [story for story in stories if story["evidence"]][:STORIES]
    left = sum(bool(story["evidence"]) for story in stories) - len(told)
    more = f" {count(left, 'further feature')} with evidence: in the table." if left else ""
    caption = (
        "One card a feature, most kinds of evidence first. Numbers stand with 95 % intervals; drive is the change of "
        "the target for each unit by which the source is changed." + more
    )
    return FeatureCards("One story a feature", caption, [_card(story) for story in told])


def _card(story: Mapping[str, Any]) -> FeatureCard:
    adds, removes = (_words(story, direction) if story["texts"] else [] for direction in ("adds", "removes"))
    evidence = count(len(story["evidence"]), "kind") + " of evidence"
    figures = [evidence, *_effects(story), *_paths(story), *_replay(story)]
    return FeatureCard(story["feature"], "", figures, (), adds, removes, (), ("adds", "removes"))


def _words(story: Mapping[str, Any], direction: str) -> list[tuple[str, float]]:
    rows = [row for unit in ("tokens", "words") for row in story["texts"][unit][direction]]
    sizes = {row["text"]: row["log_odds"] for row in rows}
    return [(word, sizes.get(word, 0.0)) for word in words_of(story, direction)[:NAMED]]


def _effects(story: Mapping[str, Any]) -> list[str]:
    told = []
    if effect := story["effect"]:
        size = with_interval(effect["effect"], effect["low"], effect["high"], "+.3g")
        q = "unknown" if effect["q"] is None else f"{effect['q']:.2g}"
        told.append(f"{effect.get('outcome') or 'effect'} {size}, q {q} ({effect.get('contrast') or 'as recorded'})")
    for row in (story["behaviours"] or {"strongest": []})["strongest"][:2]:
        size = with_interval(row["effect"], row["low"], row["high"], "+.3g")
        told.append(f"{row['outcome']} {size}, q {row['q']:.2g} ({row['context']}, {row['contrast']})")
    return told


def _paths(story: Mapping[str, Any]) -> list[str]:
    told = []
    for side, what in (("upstream", "driven by"), ("downstream", "drives")):
        paths = story[side]
        if paths and paths["found"]:
            named = [f"{row['feature']} ({row['drive']:+.2g} a unit)" for row in paths["strongest"][:NAMED]]
            more = paths["found"] - len(named)
            told.append(f"{what} {', '.join(named)}" + (f" and {more} more" if more > 0 else ""))
    told += [
        f"chain {row['path'].replace('->', chr(0x2192))}: {row['share']:.0%} mediated" for row in story["chains"][:2]
    ]
    return told


def _replay(story: Mapping[str, Any]) -> list[str]:
    replay = story["replay"]
    if not replay or not replay["found"]:
        return []
    targets = list(dict.fromkeys(row["feature"] for row in replay["strongest"]))[:NAMED]
    return [f"in rollouts changes {', '.join(targets)}: {replay['replicated']} of {replay['found']} rows replicated"]


def _clusters(layers: Mapping[str, Any]) -> list[Block]:
    rows = [
        {"name": one["name"], "count": len(one["features"]), "features": ", ".join(one["features"]),
         "similarity": one["similarity"], "chance": one["above_chance"], "label": one["label"]}
        for layer in layers.values()
        for one in layer["clusters"]
    ]  # fmt: skip
    if not rows:
        return [Prose("No two features of a layer do the same, as far as was tested.", "note")]
    shown = {"name": "cluster", "count": "features", "label": "what they share", "similarity": "least likeness",
             "chance": "beyond chance", "features": "which"}  # fmt: skip
    table = typed(rows, name=str, count=int, features=str, similarity=float, chance=bool, label=str)
    return [DataTable("clusters", "Features of a layer that do the same", "Clusters of what was found of features: "
                      "likeness 1 is the same.", table, shown)]  # fmt: skip


def _table(result: Result) -> Block:
    path = result.folder / "features.parquet"
    table = read_parquet(path)
    return DataTable("features", "All features", "Most kinds of evidence first; counts are of what was found.", table,
                     headings(table, HEADINGS), file=str(path))  # fmt: skip
