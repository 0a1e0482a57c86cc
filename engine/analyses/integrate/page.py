"""The printed page of `integrate`: what came in, what was found, the strongest stories, clusters and chains."""

from causeway.engine.analyses.integrate.feature_table import Story, words_of
from causeway.engine.analyses.integrate.integrate import Integrated

STORIES, NAMED, LISTED = 6, 3, 4


def lines(found: Integrated) -> list[str]:
    """The page, one screen."""
    about = found.summary
    parts = ", ".join(f"{part} of {count}" for part, count in about["found"].items())
    return [
        *_inputs(found),
        f"found at q < {about['alpha']:g}: {parts or 'nothing'}",
        *_paths(found),
        *(text for told in found.stories[:STORIES] if told["evidence"] for text in _story(told)),
        *_clusters(found),
    ]  # fmt: skip


def _inputs(found: Integrated) -> list[str]:
    about = found.summary
    counts = ", ".join(f"{about['features_by_stage'].get(stage, 0)} in {stage}" for stage in about["stages"])
    told = [f"{about['features']} features: {counts}"]
    if about["missing"]:
        told.append(f"not given: {', '.join(about['missing'])}")
    for stage, names in about["only_in"].items():
        more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
        told.append(f"in {stage} alone: {len(names)} ({', '.join(names[:NAMED])}{more})")
    for stage, names in about["not_selected"].items():
        told.append(f"{stage} asked about {len(names)} features that select does not name: of an earlier selection?")
    if about["effects_q"].startswith("bh"):
        told.append(f"q of effects: {about['effects_q']}")
    return told


def _paths(found: Integrated) -> list[str]:
    paths, told = found.summary["pathways"], []
    if "pathways" in found.summary["stages"]:
        told.append(f"pathways: {paths['found']} of {paths['tested']} tested, {len(found.chains)} chains")
        told += [f"  {row['path']}: mediated {row['mediated']:+.3g} of {row['total']:+.3g}, q {row['q']:.2g}"
                 for row in found.chains[:NAMED]]  # fmt: skip
    if "replay" in found.summary["stages"]:
        told.append(
            f"replay: {paths['replay_found']} of {paths['replay_tested']} rows, {paths['replicated']} replicated, "
            f"{paths['replay_confirmed']} known to be beyond random features; {paths['through_tokens']} through "
            "generated tokens"
        )
    return told


def _story(told: Story) -> list[str]:
    """Two lines: what it does, and what it is tied to."""
    parts = []
    if effect := told["effect"]:
        bounds = _interval(effect)
        parts.append(
            f"{effect.get('outcome') or 'effect'} {_number(effect['effect'])}{bounds}, q {_number(effect['q'], '.2g')}"
        )
    for first in (told["behaviours"] or {"strongest": []})["strongest"][:1]:
        parts.append(f"{first['outcome']} {_number(first['effect'])} ({first['context']}, {first['contrast']})")
    head = f"{told['feature']:<10} " + ("; ".join(parts) or "no effect known")
    ties = []
    for side, arrow in (("upstream", "from"), ("downstream", "to")):
        if (paths := told[side]) and paths["found"]:
            first = paths["strongest"][0]
            ties.append(f"{arrow} {paths['found']} (first {first['feature']} {_number(first['drive'], '+.2g')} a unit)")
    for direction in ("adds", "removes"):
        if words := words_of(told, direction)[:LISTED]:
            ties.append(f"{direction} {', '.join(map(repr, words))}")
    return [head, *([f"{'':<10} " + "; ".join(ties)] if ties else [])]


def _interval(row: dict) -> str:
    low, high = row["low"], row["high"]
    return "" if low is None or high is None else f" [{low:+.3f}, {high:+.3f}]"


def _number(value: float | None, form: str = "+.3f") -> str:
    return "unknown" if value is None or value != value else format(value, form)


def _clusters(found: Integrated) -> list[str]:
    every = [one for layer in found.clusters.values() for one in layer["clusters"]]
    if not every:
        return []
    told = [f"clusters: {len(every)}, {found.summary['clusters_above_chance']} more alike than chance; the largest:"]
    largest = sorted(every, key=lambda one: -len(one["features"]))[:NAMED]
    return [*told, *(f"  {one['name']}: {len(one['features'])} features, {one['label']}" for one in largest)]
