"""A page's sections: the overview, and one for each result that has one, in the order of the commands.

A module of this package named after a command, listed in `SECTIONS`, has

    section_of(result: Result, anchor: str, title: str) -> Section

and reads the files that the command wrote; one of `AMONG` is given all results of the page after these, since it shows
some of them beside its own. What it cannot read becomes a part that says so, and the page goes on.
"""

import importlib
import re
from collections.abc import Mapping, Sequence

from causeway.ports.pages.section import Block, Chart, Prose, Section, unreadable
from causeway.ports.pages.sections.feature_contexts import beside
from causeway.ports.pages.sections.overview import overview
from causeway.ports.pages.sections.provenance import provenance
from causeway.ports.pages.workdir import Result

# Commands whose results have a section; a line each.
SECTIONS = frozenset({
    "ablate",
    "adversarial",
    "attribute",
    "audit",
    "components",
    "contexts",
    "decompose",
    "direction",
    "edit",
    "errors",
    "evaluate",
    "features",
    "integrate",
    "intervene",
    "patch_sweep",
    "pathways",
    "polysemanticity",
    "rank",
    "replay",
    "represent",
    "screen",
    "second_order",
    "select",
    "study",
    "tokens",
    "train_dictionary",
    "virtual_weights",
})  # fmt: skip
AMONG = frozenset({"attribute", "second_order"})


def sections_of(results: Sequence[Result], questions: Mapping[str, str]) -> list[Section]:
    """The sections of a page.

    Args:
        results: as `workdir.find_results` gives them. questions: what each command answers, in the order of the page.
    """
    order = {driver: place for place, driver in enumerate(questions)}
    ordered = sorted(results, key=lambda result: (order.get(result.driver, len(order)), result.name))
    shown = [result for result in ordered if result.driver in SECTIONS]
    anchors = _anchors(shown)
    parts = [_section(result, anchors[i], questions.get(result.driver, ""), ordered) for i, result in enumerate(shown)]
    return [overview(ordered, {id(result): anchors[i] for i, result in enumerate(shown)}), *parts]


def _section(result: Result, anchor: str, question: str, results: Sequence[Result]) -> Section:
    title = f"{question[:1].upper()}{question[1:]}" + (f" ({result.name})" if result.name else "")
    module = importlib.import_module(f"{__name__}.{result.driver}")
    try:
        made = module.section_of(result, anchor, title, *[results] * (result.driver in AMONG))
    # What stands in files may break a reader in any way, and the page goes on.
    except Exception as error:
        made = Section(
            title, anchor, [unreadable("This part cannot be shown", result.folder, error)], f"causeway {result.driver}"
        )
    blocks = [*made.blocks, *beside(made, result, results)]
    try:
        blocks += provenance(result)
    except Exception as error:
        blocks.append(unreadable("What this was made from cannot be shown", result.folder, error))
    return Section(made.title, made.anchor, list(map(_drawable, blocks)), made.lead)


def _drawable(block: Block) -> Block:
    """The block; in place of a chart of no rows, that there are none."""
    if isinstance(block, Chart) and not block.table.num_rows:
        return Prose(f"{block.title}: there is nothing to draw.", "note")
    return block


def _anchors(results: Sequence[Result]) -> list[str]:
    """A name for each result that no other has."""
    made: list[str] = []
    for result in results:
        stem = re.sub(r"[^a-zA-Z0-9_-]+", "-", f"{result.driver}-{result.name}").strip("-")
        copies = sum(1 for name in made if name == stem or name.startswith(f"{stem}--"))
        made.append(f"{stem}--{copies + 1}" if copies else stem)
    return made
