"""Two folders beside each other: results of the same command are paired, what differs in how they were made is told
field by field, and what they measured is joined by its keys.

Results are paired by their names below the folders; where each folder has one of a command, whatever they are called.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from causeway.ports.pages.comparison.joins import JOINS
from causeway.ports.pages.comparison.pair_blocks import differences_block, joined_blocks
from causeway.ports.pages.section import Block, Card, Cards, Missing, Prose, Section, unreadable
from causeway.ports.pages.workdir import Result, find_results

Pairs = list[tuple[Result, Result]]


def compared(first: Path, second: Path, questions: Mapping[str, str]) -> list[Section]:
    """The sections of a page that compares two folders.

    Args:
        first, second: of any command, or holding several. questions: what each command answers, in the page's order.

    Raises:
        ValueError: a folder without results, or no command of which both have one.
    """
    found = [_found(folder) for folder in (first, second)]
    pairs = _pairs(*found)
    if not pairs:
        held = [", ".join(sorted({result.driver for result in results})) for results in found]
        raise ValueError(f"compare: {first} holds {held[0]}, {second} {held[1]}; needs results of the same command")
    order = {driver: place for place, driver in enumerate(questions)}
    pairs.sort(key=lambda pair: (order.get(pair[0].driver, len(order)), pair[0].name))
    parts = [_section(pair, f"{pair[0].driver}-{place}", questions) for place, pair in enumerate(pairs)]
    return [_overview(first, second, pairs, found), *parts]


def _found(folder: Path) -> list[Result]:
    try:
        return find_results(folder)
    except ValueError as error:
        raise ValueError(f"compare: {str(error).removeprefix('workdir: ')}") from None


def _pairs(first: Sequence[Result], second: Sequence[Result]) -> Pairs:
    pairs: Pairs = []
    for driver in {result.driver for result in first}:
        own, others = ([one for one in results if one.driver == driver] for results in (first, second))
        if len(own) == len(others) == 1:
            pairs.append((own[0], others[0]))
            continue
        named = {one.name: one for one in others}
        pairs += [(one, named[one.name]) for one in own if one.name in named]
    return pairs


def _overview(first: Path, second: Path, pairs: Pairs, found: Sequence[Sequence[Result]]) -> Section:
    paired = {id(result) for pair in pairs for result in pair}
    blocks: list[Block] = [
        Cards([Card("first", first.name or str(first), str(first)), Card("second", second.name or str(second),
              str(second)), Card("results compared", str(len(pairs)))]),
        Prose("Differences are the second less the first."),
    ]  # fmt: skip
    for folder, results in zip((first, second), found, strict=True):
        if alone := [f"{one.driver} ({one.name or '.'})" for one in results if id(one) not in paired]:
            blocks.append(Prose(f"In {folder} alone: {', '.join(alone)}.", "note"))
    return Section("What is compared", "compared", blocks)


def _section(pair: tuple[Result, Result], anchor: str, questions: Mapping[str, str]) -> Section:
    first, second = pair
    question = questions.get(first.driver, first.driver)
    title = f"{question[:1].upper()}{question[1:]}" + (f" ({first.name})" if first.name else "")
    blocks: list[Block] = []
    try:
        blocks.append(differences_block(first, second))
    # What stands in files may break a reader in any way, and the page goes on.
    except Exception as error:
        blocks.append(unreadable("How they were made cannot be compared", second.folder, error))
    unfinished = [result for result in pair if not result.whole]
    if unfinished:
        blocks += [Missing(f"{result.folder}: {result.missing}.") for result in unfinished]
    elif first.driver in JOINS:
        try:
            blocks += joined_blocks(JOINS[first.driver], first, second)
        except Exception as error:
            blocks.append(unreadable("What was measured cannot be compared", second.folder, error))
    return Section(title, anchor, blocks, f"causeway {first.driver}: {first.folder} and {second.folder}")
