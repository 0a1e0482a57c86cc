"""Beside a result about features: where its first features are active, if a `contexts` run of the same dictionaries is
among the results of the page.

That the dictionaries are the same is known by the digests in both plans; results without a plan have no cards.
"""

from collections.abc import Sequence

from causeway.ports.pages.section import Block, DataTable, FeatureCards, Section, unreadable
from causeway.ports.pages.sections.contexts import HOW_READ, Key, cards_of
from causeway.ports.pages.workdir import Result

SHOWN = 8


def beside(section: Section, result: Result, results: Sequence[Result]) -> list[Block]:
    """Cards of the first features of a section's first table of features; none where there is nothing to say.

    Args:
        section: made of `result`. results: all of the page.
    """
    try:
        found = [other for other in results if other.driver == "contexts" and other.whole and _same(result, other)]
        keys = _first_features(section) if found and result.driver != "contexts" else []
        cards = cards_of(found[0], keys) if keys else []
    # What stands in files may break a reader in any way, and the page goes on.
    except Exception as error:
        return [unreadable("Contexts of these features cannot be shown", result.folder, error)]
    if not cards:
        return []
    return [FeatureCards(
        "Where the first of these features are active",
        f"In the texts of {found[0].folder}, which are not the prompts of this result. {HOW_READ}", cards,
    )]  # fmt: skip


def _same(one: Result, other: Result) -> bool:
    digests = [result.plan.get("parts", {}).get("dictionaries") for result in (one, other)]
    return digests[0] is not None and digests[0] == digests[1]


def _first_features(section: Section) -> list[Key]:
    """Layer and feature of the first rows, each once."""
    for block in section.blocks:
        if isinstance(block, DataTable) and {"layer", "feature"} <= set(block.table.column_names):
            rows = block.table.select(["layer", "feature"]).slice(0, 10 * SHOWN).to_pylist()
            return list(dict.fromkeys((row["layer"], row["feature"]) for row in rows))[:SHOWN]
    return []
