"""The demo's second part: what drives the features that change its decisions, with which words, and as one story each.

The features that rollouts were drawn for are followed: which features of lower layers drive them (gradients propose,
setting the source decides, on prompts that proposed nothing), which words their rollouts add or remove, and all of it
with their effects in one table and one picture. For a minute's sake they are followed on states that chose them, and an
audit of the sweep and the same pathways in rollouts are left out: configs/gambling_tiny.py has the whole study, which
selects features on some states and follows them on others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from causeway.engine.analyses.integrate.integrate import Integrated
    from causeway.engine.dictionary.placement import Holder
    from causeway.engine.model.handle import Model
    from causeway.engine.prompt_record import PromptRecord

PROMPTS, SOURCES, CHAINS, SHOWN = 24, 2, 6, 3


def show_gambling(model: Model, dictionary: Holder, states: Sequence[PromptRecord], workdir: Path, seed: int) -> None:
    """Follow the features of the sampled sweep in `workdir`; print what was found, and draw it."""
    import causeway as cw
    from causeway.engine.analyses.integrate.picture import picture
    from causeway.engine.analyses.pathways import summary
    from causeway.engine.sweep.durable import make_folder
    from causeway.ports.results.integrated_files import write_integrated
    from causeway.ports.results.integrated_picture import draw_integrated
    from causeway.ports.results.pathway_files import write_pathways

    exact, sampled = (cw.read_earlier(workdir / name) for name in ("exact", "sampled"))
    words = cw.tokens(sampled, model, prompts=list(states))
    chosen = sampled.features
    print(f"\nwhat drives these {chosen.num_rows} features, and their words", flush=True)
    paths = cw.pathways(
        model, states[:PROMPTS], dictionary, targets=chosen, top=SOURCES, chains=CHAINS, seed=seed,
        workdir=workdir / "pathways",
    )  # fmt: skip
    write_pathways(
        workdir / "pathways", paths.pathways, paths.chains, paths.parts(), summary.validated(paths),
        summary.summarise(paths),
    )  # fmt: skip
    found = cw.integrate(
        select=chosen, effects=exact.features, pathways=paths.pathways, chains=paths.chains,
        associations=words.associations, outcomes=words.outcomes,
    )  # fmt: skip
    make_folder(workdir / "integrate")
    write_integrated(workdir / "integrate", found, {})
    draw_integrated(workdir / "pathways.png", picture(found.stories, found.graph))
    print("\n".join([*_paths(found), *_stories(found), f"  as a picture: {workdir / 'pathways.png'}"]))
    print("  left to the study configs/gambling_tiny.py: audit, select, replay, and states that chose nothing")


def _paths(found: Integrated) -> list[str]:
    counts = found.summary["pathways"]
    told = [f"  {counts['found']} of {counts['tested']} pathways stand when their source is set to 0"]
    return told + [
        f"  {row['path']}: {row['mediated']:+.2f} of {row['total']:+.2f} goes that way, q {row['q']:.1g}"
        for row in found.chains[:SHOWN]
    ]


def _stories(found: Integrated) -> list[str]:
    """The features with most evidence: what they do, what drives them, and their words."""
    from causeway.engine.analyses.integrate.feature_table import words_of

    lines = []
    for story in found.stories[:SHOWN]:
        parts = [f"{story['effect']['outcome']} {story['effect']['effect']:+.3f}"] if story["effect"] else []
        for side, said in (("upstream", "driven by"), ("downstream", "drives")):
            if (paths := story[side]) and paths["found"]:
                parts.append(f"{said} {', '.join(one['feature'] for one in paths['strongest'][:SHOWN])}")
        for direction in ("adds", "removes"):
            if words := words_of(story, direction)[:SHOWN]:
                parts.append(f"{direction} {', '.join(map(repr, words))}")
        lines.append(f"  {story['feature']}: {'; '.join(parts)}")
    return lines
