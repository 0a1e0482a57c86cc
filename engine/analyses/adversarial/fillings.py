"""What is put into prompts: words into slots, those that neurons say and others of their length.

Sides are the prompts that choose and those that are held out. Nothing of a held-out prompt, not even its text, decides
which words are tried or kept, and no held-out prompt is one that a choosing prompt was filled into.
"""

import dataclasses
import functools
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from causeway.engine.analyses.adversarial.bases import WORD, Base, known_prompts
from causeway.engine.analyses.adversarial.words import is_word
from causeway.engine.prompt_record import PromptRecord
from causeway.engine.tokenized_prompt import TokenizedPrompt

_PURPOSE = 11
# Prompts in which a random word is tried, before it is taken for one that fits nowhere.
TRIED = 4
Make = Callable[[PromptRecord], TokenizedPrompt]


@dataclasses.dataclass(frozen=True)
class Filling:
    """A word in a slot."""

    slot: str
    word: str

    def __str__(self) -> str:
        return self.word if self.slot == WORD else f"{self.slot}={self.word}"


@dataclasses.dataclass(frozen=True, eq=False)
class Side:
    """Prompts that choose, or that are held out.

    Attributes:
        bases: the prompts. clean: each as it stands, with its tokens. make: gives the tokens of a record.
        apart: tokens and answers of prompts that are not used.
    """

    bases: Sequence[Base]
    clean: Sequence[TokenizedPrompt]
    make: Make
    apart: frozenset = frozenset()

    @functools.cached_property
    def clusters(self) -> list[str]:
        """Of each prompt."""
        return [base.record.cluster for base in self.bases]

    @functools.cached_property
    def _known(self) -> Mapping[tuple, PromptRecord]:
        return known_prompts(self.bases)

    @functools.cached_property
    def _made(self) -> dict[tuple[Filling, int], TokenizedPrompt | None]:
        return {}

    def filled(self, filling: Filling) -> list[TokenizedPrompt | None]:
        """Each prompt with a word in a slot; None where it cannot be."""
        return [self.one(filling, number) for number in range(len(self.bases))]

    def one(self, filling: Filling, number: int) -> TokenizedPrompt | None:
        """One prompt with a word in a slot; None where it cannot be."""
        key = filling, number
        if key not in self._made:
            self._made[key] = self._filled(filling, number)
        return self._made[key]

    def reason(self, filling: Filling) -> str:
        """Why a word can be put into no prompt."""
        for base in self.bases:
            try:
                if (record := base.filled(filling.slot, filling.word, self._known)) is not None:
                    self.make(record)
            except ValueError as error:
                return str(error)
        if filling.slot == WORD:
            return "every prompt, or an answer to it, has it"
        return "no prompt with it and a known answer is there"

    def seen(self, slot: str) -> set[str]:
        """Values that stand in a slot."""
        return {base.values[slot] for base in self.bases if slot in base.values}

    def without_repeats(self, fillings: Sequence[Filling]) -> list[list[TokenizedPrompt | None]]:
        """Each filling's prompts, of equal ones the first alone."""
        met: set[tuple] = set()
        return [[self._once(prompt, met) for prompt in self.filled(filling)] for filling in fillings]

    def _once(self, prompt: TokenizedPrompt | None, met: set[tuple]) -> TokenizedPrompt | None:
        if prompt is None or (key := identity(prompt)) in met:
            return None
        met.add(key)
        return prompt

    def _filled(self, filling: Filling, number: int) -> TokenizedPrompt | None:
        try:
            record = self.bases[number].filled(filling.slot, filling.word, self._known)
            made = None if record is None else self.make(record)
        except ValueError:
            return None
        return None if made is None or identity(made) in self.apart else made


def identity(prompt: TokenizedPrompt) -> tuple:
    """What a model sees of a prompt and its answers."""
    return prompt.tokens, prompt.pair


@dataclasses.dataclass(frozen=True)
class Pools:
    """Fillings that are tried: those expected to push the wrong way, the right way, and random ones."""

    wrong: tuple[Filling, ...]
    right: tuple[Filling, ...]
    random: tuple[Filling, ...]

    @property
    def all(self) -> tuple[Filling, ...]:
        """Each once."""
        return tuple(dict.fromkeys((*self.wrong, *self.right, *self.random)))


def pools(
    weights: Mapping[str, float], side: Side, slots: Sequence[str], count: int, lexicon: Sequence[str], seed: int
) -> Pools:
    """What is tried on the choosing prompts.

    Args:
        weights: of words, those that push the wrong way first; NaN of words that are all to be tried.
        side: the choosing prompts. slots: that are filled. count: of fillings each way.
        lexicon: texts that random words are drawn from. seed: key of the draws.

    Raises:
        ValueError: no word can be put into a prompt, or the lexicon has none to compare with.
    """
    own = [word for word, weight in weights.items() if np.isnan(weight)]
    down = [word for word, weight in weights.items() if weight < 0]
    up = [word for word, weight in reversed([*weights.items()]) if weight > 0]
    wrong = tuple(_possible(own, side, slots, strict=True)) or _first(_possible(down, side, slots), count)
    if not wrong:
        raise ValueError(_nothing(down or up, side, slots))
    right = () if own else _first(_possible(up, side, slots), count)
    return Pools(wrong, right, _drawn(wrong, {*weights}, side, slots, lexicon, seed))


def _first(fillings: Iterator[Filling], count: int) -> tuple[Filling, ...]:
    return tuple(filling for _, filling in zip(range(count), fillings, strict=False))


def _possible(words: Sequence[str], side: Side, slots: Sequence[str], strict: bool = False) -> Iterator[Filling]:
    """Words in slots that take them, if in some prompt they can be put there."""
    for word in words:
        fitting = [Filling(slot, word) for slot in slots if _fits(word, slot, side)]
        usable = [filling for filling in fitting if any(side.filled(filling))]
        if strict and not usable:
            raise ValueError(_nothing([word], side, slots))
        yield from usable


def _fits(word: str, slot: str, side: Side) -> bool:
    return is_word(word) if slot == WORD else word in side.seen(slot)


def _nothing(words: Sequence[str], side: Side, slots: Sequence[str]) -> str:
    """Why no word can be used, told of the first."""
    if not words:
        return "words: none pushes the wrong way; needs words of weight below 0"
    fitting = [Filling(slot, words[0]) for slot in slots if _fits(words[0], slot, side)]
    told = "it is not made of letters" if WORD in slots else _values(slots, side)
    reason = side.reason(fitting[0]) if fitting else told
    return f"words: {words[0]!r} can be put into none of {len(side.bases)} prompts: {reason}"


def _values(slots: Sequence[str], side: Side, most: int = 5) -> str:
    """That a word is no value of the slots, and some that are."""
    seen = {slot: sorted(side.seen(slot)) for slot in slots}
    told = (
        f"{slot} ({', '.join(values[:most])}{', ...' if len(values) > most else ''})" for slot, values in seen.items()
    )
    return f"it is no value of {', '.join(told)}"


def _drawn(
    wrong: Sequence[Filling], taken: set[str], side: Side, slots: Sequence[str], lexicon: Sequence[str], seed: int
) -> tuple[Filling, ...]:
    """Random fillings, for each one that is tried one of its slot and length as far as there are."""
    rng = np.random.default_rng((seed, _PURPOSE))
    needed = Counter((filling.slot, length(filling, side, len(side.bases))) for filling in wrong)
    found: list[Filling] = []
    for slot in dict.fromkeys(slot for slot, _ in needed):
        texts = [text.strip() for text in lexicon] if slot == WORD else sorted(side.seen(slot))
        pool = [text for text in dict.fromkeys(texts) if text not in taken and _fits(text, slot, side)]
        for number in rng.permutation(len(pool)).tolist():
            filling = Filling(slot, pool[number])
            if not any(of == slot for of, _ in needed):
                break
            if (key := (slot, length(filling, side))) in needed:
                found.append(filling)
                needed[key] -= 1
                needed += Counter()
    if not found:
        raise ValueError(
            f"lexicon: has no word to compare {wrong[0].word!r} with, of as many tokens and fit for the same place; "
            "give another lexicon"
        )
    return tuple(found)


def length(filling: Filling, side: Side, tried: int = TRIED) -> int | None:
    """By how many tokens the first prompt that takes a word grows; None where none of the first few does."""
    for number in range(min(len(side.bases), tried)):
        if (made := side.one(filling, number)) is not None:
            return len(made.tokens) - len(side.clean[number].tokens)
    return None
