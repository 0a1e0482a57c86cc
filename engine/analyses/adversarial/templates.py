"""Templates: lines of a prompt file that stand for many prompts, as their field `slots` says.

    {"prompt": "{word} has {a} apples and buys {b}. Now there are", "correct_answer": " {a+b}",
     "incorrect_answer": " {a-b}", "slots": {"word": "Tom", "a": [3, 5, 8], "b": [2, 4]}}

A slot has a list of values; `word`, where words are put, has one, the neutral word of prompts as they stand. Answers
and all other texts of the line are formulas (`formulas`). Prompts are all combinations of values, or as many drawn.
"""

import dataclasses
import math
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from causeway.engine import scalars
from causeway.engine.analyses.adversarial.bases import WORD, Base, base_of, check_plain, cut, joined
from causeway.engine.analyses.adversarial.formulas import HOLE, written
from causeway.engine.outcome.answers import Answer
from causeway.engine.prompt_record import CORRECT, INCORRECT, PromptRecord

SLOTS = "slots"


def is_template(record: PromptRecord) -> bool:
    """Whether a record stands for many prompts."""
    return SLOTS in record.fields


def bases_of(
    record: PromptRecord, slots: Sequence[str] = (), insert: str = "", at: str = "", most: int = 64, seed: int = 0
) -> list[Base]:
    """A prompt, or those of a template, with its slots.

    Args:
        slots, insert, at: see `bases.base_of`; a template says itself where a word is put.
        most, seed: see `template_bases`.

    Raises:
        ValueError: see both; a template without a slot that is asked for, or with none to fill.
    """
    if not is_template(record):
        return [base_of(record, slots, insert, at)]
    found = template_bases(record, most, seed)
    if missing := [slot for slot in slots if slot not in found[0].values]:
        raise ValueError(f"slot {missing[0]!r}: the template has none; it has {', '.join(found[0].values)}")
    if not slots and WORD not in found[0].values:
        raise ValueError(f"template: has no slot {{{WORD}}}, and no other is to be filled; put one in, or name slots")
    return found


def template_bases(record: PromptRecord, most: int, seed: int = 0) -> list[Base]:
    """The prompts of a template.

    Args:
        record: with the field `slots`. most: prompts. seed: key of which ones, where there are more.

    Raises:
        ValueError: a slot that is not in the prompt or has no values, a hole that is no slot, or a formula that is
            none.
    """
    check_plain(record)
    parts, slots = cut(record.text), _slots(record.fields[SLOTS])
    named = dict.fromkeys(slot for _, slot in parts if slot)
    if odd := [*(name for name in named if name not in slots), *(name for name in slots if name not in named)]:
        where = "the prompt has it, the field slots has not" if odd[0] in named else "the prompt has no such slot"
        raise ValueError(f"slot {odd[0]!r}: {where}; needs {{{odd[0]}}} in the prompt and its values in slots")
    shape = tuple(len(values) for values in slots.values())
    total = math.prod(shape)
    rng = np.random.default_rng([scalars.seed(seed), zlib.crc32(record.text.encode())])
    chosen = range(total) if total <= most else np.sort(rng.choice(total, most, replace=False)).tolist()
    own = [dict(zip(slots, _picked(slots, shape, number), strict=True)) for number in chosen]
    return [_base(record, parts, values, number) for number, values in zip(chosen, own, strict=True)]


def _picked(slots: Mapping[str, Sequence[str]], shape: tuple[int, ...], number: int) -> list[str]:
    places = np.unravel_index(number, shape)
    return [values[int(place)] for values, place in zip(slots.values(), places, strict=True)]


def _slots(given: Any) -> dict[str, list[str]]:
    if not isinstance(given, Mapping) or not given:
        raise ValueError(f"slots: got {scalars.shown(given)}; needs an object of names to lists of values")
    slots = {name: values if isinstance(values, list) else [values] for name, values in given.items()}
    for name, values in slots.items():
        if not values or not all(type(value) in (str, int) for value in values):
            raise ValueError(f"slot {name!r}: got {scalars.shown(given[name])}; needs a list of texts or whole numbers")
        if name == WORD and len(values) > 1:
            raise ValueError(f"slot {WORD!r}: got {len(values)} texts; needs one, the neutral word")
    return {name: list(dict.fromkeys(map(str, values))) for name, values in slots.items()}


def _base(record: PromptRecord, parts: tuple[tuple[str, str], ...], values: Mapping[str, str], number: int) -> Base:
    own = {name: value for name, value in record.fields.items() if name != SLOTS}
    formulas = {name: value for name, value in own.items() if isinstance(value, str) and HOLE.search(value)}
    texts = {name: written(value, values) for name, value in formulas.items()}
    answers = {CORRECT: record.correct, INCORRECT: record.incorrect}
    right, wrong = (written(text, values) for text in answers.values())
    made = dataclasses.replace(
        record, text=joined(parts, values), id=f"{record.id}-{number}",
        answers=(Answer(right, CORRECT), Answer(wrong, INCORRECT)), fields={**own, **values, **texts},
    )  # fmt: skip
    if right == wrong:
        raise ValueError(f"answers: both {right!r} where {made.text[:60]!r}; needs two that differ")
    return Base(made, parts, values, {**answers, **formulas})
