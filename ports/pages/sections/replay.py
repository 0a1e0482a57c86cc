"""The section of a replay: which features setting a feature changes, in the model's own words and on given ones."""

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from causeway.ports.files.parquet_files import read_parquet
from causeway.ports.pages.charts.heat_map import heat_map
from causeway.ports.pages.charts.intervals import intervals
from causeway.ports.pages.charts.scatter import scatter
from causeway.ports.pages.charts.theme import GREEN, GREY
from causeway.ports.pages.section import Block, Card, Cards, Chart, DataTable, Missing, Prose, Section
from causeway.ports.pages.sections.rows import INTERVALS, by_size, count, feature, plain, typed
from causeway.ports.pages.workdir import Result

KINDS, COLOURS, MOST = ("pathway", "no pathway"), (GREEN, GREY), 40
FAMILIES = {"route": "route", "measure": "rollouts", "step": "at", "reference": "against", "pairs": "pairs",
            "tests": "tested", "pathways": "pathways", "cannot_tell": "cannot tell"}  # fmt: skip
PAIRS = {
    "source": "source", "target": "target", "arm": "source set as", "route": "route", "measure": "rollouts",
    "step": "at", "delta": "change", "low": "low", "high": "high", "q": "q", "replicated": "replicated",
    "exceeds_null": "beyond random features", "is_pathway": "pathway",
}  # fmt: skip
LOGITS = {
    "source": "feature", "arm": "set as", "text": "token", "change": "change of the logit", "low": "low",
    "high": "high", "q": "q", "prompts": "prompts",
}  # fmt: skip
READ = (
    "Free: the model writes its own words with the source set, and without. Teacher-forced: it reads the words of the "
    "clean rollout, so that only features carry a change. Through tokens: targets in layers that only words that "
    "differ can change."
)


def section_of(result: Result, anchor: str, title: str) -> Section:
    """The section."""
    lead, about = f"causeway replay, {result.folder}", result.about
    if not result.whole or not about:
        return Section(title, anchor, [Missing(f"Nothing is replayed yet: {result.missing}.")], lead)
    path = result.folder / "replay_pathways.parquet"
    rows, sources = plain(read_parquet(path)), read_parquet(result.folder / "replay_sources.parquet").to_pylist()
    rows = _named(by_size(rows, "delta", "is_pathway"))
    parted = about.get("rollouts_that_part")
    blocks: list[Block] = [
        Prose(_answer(about)), Prose(READ, "note"),
        Cards([
            Card("features set", str(about["sources"]), f"{count(about['trials'], 'rollout')} a prompt and arm"),
            Card("prompts", str(sum(about["prompts"].values())), _groups(about["prompts"])),
            Card("pathways", str(sum(family["pathways"] for family in about["families"])), "beyond random features"),
            Card("rollouts that differ", "unknown" if parted is None else f"{parted:.1%}", "in any word"),
        ]),
        DataTable("families", "What was tested", "A line for each way of looking; q is over the pairs of a line.",
                  pa.Table.from_pylist([{name: one.get(name) for name in FAMILIES} for one in about["families"]]),
                  FAMILIES),
        *_maps(rows), *_free(rows, about), *_words(sources),
        DataTable("pairs", "Pairs of features", "Pathways first, the largest change first: edited less reference, in "
                  "the dictionary's own scale, with 95 % intervals over prompts.", rows, PAIRS, file=str(path)),
        *_logits(result),
    ]  # fmt: skip
    return Section(title, anchor, blocks, lead)


def _groups(prompts: Mapping[str, int]) -> str:
    return ", ".join(f"{number} {name}" for name, number in prompts.items())


def _answer(about: Mapping[str, Any]) -> str:
    """How many pathways there are in each way of looking, and whether both ways agree."""
    found = {
        measure: sum(family["pathways"] for family in about["families"] if family["measure"] == measure)
        for measure in ("free", "teacher_forced")
    }
    told = (
        f"Setting {count(about['sources'], 'feature')} changes others, replicated and beyond what random features do, "
        f"{count(found['free'], 'time')} while the model writes its own words and "
        f"{count(found['teacher_forced'], 'time')} on words that were given."
    )
    both = about.get("free_against_teacher_forced") or {}
    if both.get("same_sign") is not None:
        told += (
            f" Of {count(both['pairs'], 'pair')} that both ways look at while words are generated, "
            f"{both['same_sign']:.0%} of those that change do so in the same direction."
        )
    return told


def _named(rows: pa.Table) -> pa.Table:
    """Rows with names of source and target, and whether they are a pathway."""
    for place, end in enumerate(("source", "target")):
        ids = zip(rows[f"{end}_layer"].to_pylist(), rows[f"{end}_feature"].to_pylist(), strict=True)
        rows = rows.add_column(place, end, pa.array([feature(*one) for one in ids], pa.string()))
    kinds = [KINDS[not found] for found in rows["is_pathway"].to_pylist()]
    return rows.append_column("kind", pa.array(kinds, pa.string()))


def _maps(rows: pa.Table) -> list[Block]:
    """Source by target: downstream, free, at the step at which most is a pathway."""
    every = [row for row in rows.to_pylist() if (row["route"], row["measure"]) == ("downstream", "free")]
    every = [row for row in every if row["delta"] is not None]
    if not every:
        return [Prose("No target lies in a layer above a source, so that there is no map of changes.", "note")]
    found: dict[tuple[str, str], int] = {}
    for row in every:
        found[row["step"], row["reference"]] = found.get((row["step"], row["reference"]), 0) + bool(row["is_pathway"])
    step, reference = max(found, key=lambda key: found[key])
    drawn = [row for row in every if (row["step"], row["reference"]) == (step, reference)]
    names = [_ends(drawn, end)[:MOST] for end in ("target", "source")]
    made = [
        {"panel": f"source set as {row['arm']}", "column": row["target"], "row": row["source"], "value": row["delta"],
         "detail": row["kind"]}
        for row in drawn if row["target"] in names[0] and row["source"] in names[1]
    ]  # fmt: skip
    most = max((abs(row["value"]) for row in made), default=0.0) or 1.0
    chart = heat_map(names[0], names[1], ("target", "source"), "change", most, panel=True)
    kinds = dict.fromkeys(("panel", "column", "row", "detail"), str) | {"value": float}
    left = sum(len(_ends(drawn, end)) for end in ("target", "source")) - sum(map(len, names))
    caption = (
        f"Change of the target (column) when the source (row) is set, while the model writes freely, at {step} and "
        f"against {reference}: in the dictionary's own scale, mean over prompts. Empty: the target is not above the "
        "source." + (f" {count(left, 'feature')} of small changes left out." if left else "")
    )
    return [Chart("changes", "What setting a feature changes", caption, chart, typed(made, **kinds))]


def _ends(rows: Sequence[Mapping[str, Any]], end: str) -> list[str]:
    """Sources or targets by layer and number; where there are many, those of the largest changes."""
    kept = {row[end]: (row[f"{end}_layer"], row[f"{end}_feature"]) for row in rows}
    chosen = list(kept)[:MOST] if len(kept) > MOST else list(kept)
    return sorted(chosen, key=lambda name: kept[name]) + [name for name in kept if name not in chosen]


def _free(rows: pa.Table, about: Mapping[str, Any]) -> list[Block]:
    """Changes in free rollouts against those on given words, the same pair, arm and step."""
    names = ("source", "target", "arm", "step", "route", "reference")
    pairs: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in rows.to_pylist():
        one = pairs.setdefault(tuple(row[name] for name in names), {name: row[name] for name in names})
        one[row["measure"]] = row["delta"]
        one["kind"] = KINDS[0] if KINDS[0] in (row["kind"], one.get("kind")) else KINDS[1]
    made = [row for row in pairs.values() if row.get("free") is not None and row.get("teacher_forced") is not None]
    made = [row for row in made if row["free"] or row["teacher_forced"]]
    if not made:
        return [Prose("No pair changes both in free rollouts and on given words.", "note")]
    both = about.get("free_against_teacher_forced") or {}
    slope = both.get("slope")
    told = "" if slope is None else f" While words are generated, free changes are {slope:.2g} times as large."
    chart = scatter("teacher_forced", "change on given words", "free", "change in free rollouts", "kind",
                    ("source", "target", "arm", "step"), same=True, zero=True, kinds=KINDS,
                    colours=COLOURS)  # fmt: skip
    kinds = dict.fromkeys((*names, "kind"), str) | {"teacher_forced": float, "free": float}
    return [Chart(
        "free", "Free rollouts against given words",
        f"A point a pair, arm and step. Dashed: equal changes, which features alone carry; what lies off it is carried "
        f"by words that differ.{told}", chart, typed(made, **kinds),
    )]  # fmt: skip


def _words(sources: Sequence[Mapping[str, Any]]) -> list[Block]:
    """How many rollouts differ in a word, and by how much longer they are."""
    if not sources:
        return []
    label = [
        {"label": feature(row["layer"], row["feature"]), "kind": row["arm"], "value": row["parted"]} for row in sources
    ]
    length = [
        {**row, "value": row["length_change"], "label": feature(row["layer"], row["feature"]), "kind": row["arm"]}
        for row in sources
    ]
    blocks: list[Block] = [Chart(
        "parted", "Rollouts whose words differ", "Share of rollouts, with the feature set, that differ from the clean "
        "rollout in any word, over all prompts.", intervals("share of rollouts", None, beside=True),
        typed(label, **INTERVALS),
    )]  # fmt: skip
    if any(row["low"] is not None for row in sources):
        blocks.append(Chart(
            "length", "How much longer rollouts become", "Tokens, with the feature set less without, mean over "
            "prompts with 95 % intervals, which are not drawn where too few prompts change.",
            intervals("tokens", beside=True), typed(length, **INTERVALS),
        ))  # fmt: skip
    when = "First word that differs: at which generated token, mean of the rollouts that differ."
    table = [{**row, "source": feature(row["layer"], row["feature"])} for row in sources]
    shown = {"source": "feature", "arm": "set as", "value_before": "value", "value_set": "set to",
             "parted": "share of rollouts that differ", "first_difference": "first word that differs",
             "length_change": "longer by (tokens)", "q": "q of that"}  # fmt: skip
    texts = ("source", "arm")
    typed_table = typed(table, **{name: str if name in texts else float for name in shown})
    return [*blocks, DataTable("sources", "Features that were set", when, typed_table, shown)]


def _logits(result: Result) -> list[Block]:
    """Tokens whose logits change most surely."""
    path = result.folder / "replay_logits.parquet"
    if not path.exists():
        return []
    table = read_parquet(path)
    rows = sorted(table.to_pylist(), key=lambda row: (row["q"] is None, row["q"] or 0.0, -abs(row["change"] or 0.0)))
    rows = [{**row, "source": feature(row["layer"], row["feature"])} for row in rows[:200]]
    kinds = {name: str if name in ("source", "arm", "text") else float for name in LOGITS}
    return [DataTable("logits", "Tokens that become likelier, and less likely", "Change of the logit of the next "
                      "token, mean over prompts with 95 % intervals; smallest q first.", typed(rows, **kinds), LOGITS,
                      file=str(path))]  # fmt: skip
