"""The prompts of a behaviour: its candidates, dealt to train and test.

Every behaviour draws from its own stream of random numbers, keyed by the seed and its name, so that a set is the same
whichever others are made beside it.
"""

import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from causeway.engine import scalars
from causeway.engine.analyses.prompts.answer_pieces import Pieces, best_wrong, text_pieces
from causeway.engine.analyses.prompts.catalogue import RECORDS, behaviour
from causeway.engine.analyses.prompts.deal import SPLITS, TEST, TRAIN, Sizes, deal
from causeway.engine.analyses.prompts.prompt import Candidate
from causeway.engine.analyses.prompts.sets import bundled_tasks
from causeway.engine.prompt_record import PromptRecord

Templates = Literal["enlarged", "as_published"]
TEMPLATES: tuple[Templates, ...] = ("enlarged", "as_published")


def make_prompts(
    name: str, sizes: Sizes, seed: int, pieces: Pieces = text_pieces, templates: Templates = "enlarged"
) -> dict[str, list[PromptRecord]]:
    """Both splits of a behaviour that needs no file.

    Raises:
        ValueError: an unknown behaviour, one that comes from a file, one without published templates, or too few
            distinct items.
    """
    rng = _stream(name, seed)
    if name.startswith(bundled_tasks.PREFIX) and behaviour(name):
        task = name.removeprefix(bundled_tasks.PREFIX)
        counts = {TRAIN: sizes.train, TEST: sizes.test}
        parts = {split: bundled_tasks.candidates(task, split, rng, counts[split]) for split in SPLITS}
        return _deal_parts(name, parts[TRAIN], parts[TEST], sizes, rng, pieces)
    entry = behaviour(name)
    source = entry.candidates if templates == "enlarged" else entry.as_published
    if source is None:
        raise ValueError(
            f"{name}: has no templates of the document; use --templates=enlarged" if entry.candidates
            else f"{name}: comes from a file; give it with --source"
        )  # fmt: skip
    return deal(name, source(rng, sizes.train + sizes.test), sizes, rng, pieces)


def split_candidates(
    name: str,
    train: Sequence[Candidate],
    test: Sequence[Candidate],
    sizes: Sizes,
    seed: int,
    pieces: Pieces = text_pieces,
) -> dict[str, list[PromptRecord]]:
    """Both splits of candidates from files: from one file, or with `test` from two (groups of test leave train).

    Raises:
        ValueError: too few distinct items.
    """
    rng = _stream(name, seed)
    return _deal_parts(name, train, test, sizes, rng, pieces) if test else deal(name, train, sizes, rng, pieces)


def candidate_reader(name: str, pieces: Pieces = text_pieces) -> Callable[[Mapping[str, Any]], Candidate]:
    """What makes a candidate of each record of a behaviour that comes from a file.

    It raises ValueError for a record that lacks a field, or whose answers never diverge.
    """

    def read(record: Mapping[str, Any]) -> Candidate:
        candidate = RECORDS[name](record)
        if not best_wrong(candidate.prompt, candidate.correct, candidate.wrong, pieces):
            answers = f"{candidate.correct!r} and {candidate.wrong[0].text!r}"
            raise ValueError(f"answers {answers}: never diverge as they are cut into tokens; needs two that do")
        return candidate

    return read


def reads_records(name: str) -> bool:
    """Whether a behaviour can come from a file."""
    return name in RECORDS


def makes_itself(name: str) -> bool:
    """Whether a behaviour needs no file."""
    return name.startswith(bundled_tasks.PREFIX) or behaviour(name).candidates is not None


def _deal_parts(
    name: str, train: Sequence[Candidate], test: Sequence[Candidate], sizes: Sizes, rng: np.random.Generator,
    pieces: Pieces,
) -> dict[str, list[PromptRecord]]:  # fmt: skip
    held_out = {c.group for c in test}
    kept = [c for c in train if c.group not in held_out]
    splits = {c.group: TRAIN for c in kept} | dict.fromkeys(held_out, TEST)
    return deal(name, [*kept, *test], sizes, rng, pieces, splits)


def _stream(name: str, seed: int) -> np.random.Generator:
    return np.random.default_rng([scalars.seed(seed), zlib.crc32(name.encode())])
