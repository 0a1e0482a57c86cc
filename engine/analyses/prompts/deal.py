"""Candidates dealt to train and test: no group in both, no item twice, equal lengths and even classes first.

Whole groups go to a split, in an order drawn from the seed. Test takes groups until it has its share of all items
(test / (train + test)), or where train would then run short, until it has enough. Inside a split the wrong answers are
chosen, items equal in (prompt, right answer, wrong answer) are kept once, and the items are taken

    1. those whose answers have the same number of pieces before the others,
    2. from the classes (`Candidate.balance`) in turn,
    3. inside a class from the group used least so far, so that a small split meets as many groups as it can.

The result is a function of candidates, sizes and seed, to the byte.
"""

import collections
import dataclasses
import heapq
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from causeway.engine.analyses.prompts.answer_pieces import Pieces, best_wrong, text_pieces
from causeway.engine.analyses.prompts.prompt import Candidate, Wrong, shuffled
from causeway.engine.prompt_lines import parse_record
from causeway.engine.prompt_record import PromptRecord

TRAIN, TEST = SPLITS = ("train", "test")


@dataclasses.dataclass(frozen=True)
class Sizes:
    """How many items each split gets; those named in `at_most` take fewer where there are fewer."""

    train: int
    test: int
    at_most: tuple[str, ...] = ()

    @classmethod
    def of_all(cls, count: int, train: int | None, test: int | None) -> "Sizes":
        """All of `count` items: four to one, or what is left by the split whose size is given."""
        if train is not None and test is not None:
            return cls(train, test)
        if train is None and test is None:
            return cls(4 * count, count, SPLITS)
        if train is None:
            return cls(max(count - (test or 0), 0), test or 0, (TRAIN,))
        return cls(train, max(count - train, 0), (TEST,))

    def __post_init__(self):
        if self.train < 0 or self.test < 0 or not self.train + self.test:
            raise ValueError(f"train, test: got {self.train} and {self.test}; needs counts of which one is above 0")


def deal(
    behaviour: str,
    candidates: Sequence[Candidate],
    sizes: Sizes,
    rng: np.random.Generator,
    pieces: Pieces = text_pieces,
    split_of_group: Mapping[str, str] | None = None,
) -> dict[str, list[PromptRecord]]:
    """The items of both splits.

    Args:
        pieces: how answers are cut; a tokenizer's where the model is known.
        split_of_group: the split of each group where that is decided elsewhere (the default draws it).

    Raises:
        ValueError: fewer distinct items than asked for; the numbers there are in the text.
    """
    usable = [c for c in candidates if best_wrong(c.prompt, c.correct, c.wrong, pieces)]
    splits = split_of_group or _draw_splits(usable, sizes, rng)
    dealt = {split: _distinct(_chosen(usable, split, splits, pieces)) for split in SPLITS}
    wanted = {TRAIN: sizes.train, TEST: sizes.test}
    short = [split for split in SPLITS if len(dealt[split]) < wanted[split]]
    if set(short) - set(sizes.at_most) or not any(dealt.values()):
        raise ValueError(_shortage(behaviour, wanted, dealt, len(candidates) - len(usable)))
    return {
        split: [_prompt(behaviour, split, n, item) for n, item in enumerate(_in_turn(items, wanted[split], rng))]
        for split, items in dealt.items()
    }


@dataclasses.dataclass(frozen=True)
class _Item:
    """A candidate with its wrong answer, and by how many pieces the answers differ in length."""

    candidate: Candidate
    wrong: Wrong
    difference: int


def _draw_splits(candidates: Sequence[Candidate], sizes: Sizes, rng: np.random.Generator) -> dict[str, str]:
    counts: dict[str, int] = defaultdict(int)
    for *_, group in dict.fromkeys((c.prompt, c.correct, c.wrong[0].text, c.group) for c in candidates):
        counts[group] += 1
    order = shuffled(rng, list(counts))
    running = np.cumsum([counts[group] for group in order])
    total = int(running[-1]) if len(running) else 0
    share = total * sizes.test / (sizes.train + sizes.test)
    cut = _groups_until(running, share if TEST in sizes.at_most else max(share, sizes.test)) if sizes.test else 0
    if TRAIN not in sizes.at_most and total - (running[cut - 1] if cut else 0) < sizes.train:
        cut = _groups_until(running, sizes.test) if sizes.test else 0
    return {group: TEST if place < cut else TRAIN for place, group in enumerate(order)}


def _groups_until(running: np.ndarray, wanted: float) -> int:
    """How many groups from the first on hold `wanted` items; all of them where they do not."""
    return min(int(np.searchsorted(running, wanted)) + 1, len(running))


def _chosen(candidates: Iterable[Candidate], split: str, splits: Mapping[str, str], pieces: Pieces) -> list[_Item]:
    """The items of a split; one whose wrong answers all belong to the other split is none."""
    items = []
    for candidate in (c for c in candidates if splits[c.group] == split):
        allowed = [w for w in candidate.wrong if not w.group or splits.get(w.group) == split]
        found = best_wrong(candidate.prompt, candidate.correct, allowed, pieces)
        if found:
            items.append(_Item(candidate, *found))
    return items


def _distinct(items: Iterable[_Item]) -> list[_Item]:
    kept: dict[tuple[str, str, str], _Item] = {}
    for item in items:
        kept.setdefault((item.candidate.prompt, item.candidate.correct, item.wrong.text), item)
    return list(kept.values())


def _in_turn(items: Sequence[_Item], count: int, rng: np.random.Generator) -> list[_Item]:
    """The first `count` items in the order of the module's docstring."""
    uses: dict[str, int] = defaultdict(int)
    queues: dict[bool, dict[str, list[tuple[int, int, _Item]]]] = {False: defaultdict(list), True: defaultdict(list)}
    for place, item in enumerate(shuffled(rng, items)):
        # Places rise, so that each list is a heap already.
        queues[item.difference > 0][item.candidate.balance].append((0, place, item))
    taken: list[_Item] = []
    for classes in queues.values():
        waiting = collections.deque(classes[name] for name in sorted(classes))
        while waiting and len(taken) < count:
            heap = waiting.popleft()
            taken.append(_least_used(heap, uses))
            if heap:
                waiting.append(heap)
    return taken


def _least_used(heap: list[tuple[int, int, _Item]], uses: dict[str, int]) -> _Item:
    """Takes the item whose group was used least; counts that went up since an item was put there are brought up."""
    while True:
        known, place, item = heapq.heappop(heap)
        now = uses[item.candidate.group]
        if now == known:
            uses[item.candidate.group] += 1
            return item
        heapq.heappush(heap, (now, place, item))


def _prompt(behaviour: str, split: str, number: int, item: _Item) -> PromptRecord:
    candidate = item.candidate
    answers = {"correct_answer": candidate.correct, "incorrect_answer": item.wrong.text}
    placed = {"behaviour": behaviour, "split": split, "id": f"{behaviour}_{split}_{number:04d}"}
    said = {**candidate.fields, **item.wrong.fields, "prompt": candidate.prompt, **answers}
    return parse_record({**said, **placed, "group": candidate.group})


def _shortage(behaviour: str, wanted: Mapping[str, int], dealt: Mapping[str, Sequence[_Item]], undivided: int) -> str:
    """What there is, for a person who asked for more."""
    groups = len({item.candidate.group for items in dealt.values() for item in items})
    without = f"; {undivided} more have no wrong answer that the tokenizer tells apart" if undivided else ""
    return (
        f"{behaviour}: {wanted[TRAIN]} train and {wanted[TEST]} test items asked for, but with no group in both splits "
        f"there are {len(dealt[TRAIN])} and {len(dealt[TEST])} distinct ones ({groups} groups{without}); ask for fewer"
    )
