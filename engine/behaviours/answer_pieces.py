"""How long an answer is, and which wrong answer suits a right one.

A log probability summed over more tokens is lower, whatever the model knows, and dividing by the number of tokens
turns that round without curing it; so the wrong answer has as many tokens as the right one wherever there is one that
has. With a tokenizer its own tokens count. Without one, an answer is cut as most tokenizers cut: into words, single
digits and marks.
"""

import functools
import re
from collections.abc import Callable, Hashable, Sequence

from causeway.engine.behaviours.prompt import Wrong
from causeway.engine.model.handle import Tokenizer

Pieces = Callable[[str], tuple[Hashable, ...]]

_PIECE = re.compile(r" ?[^\W\d_]+| ?[^\w\s]|\d|_|\s")


@functools.cache
def text_pieces(answer: str) -> tuple[str, ...]:
    """Words, single digits and marks of an answer."""
    return tuple(_PIECE.findall(answer))


def token_pieces(tokenizer: Tokenizer) -> Pieces:
    """A tokenizer's cut of an answer, remembered: a set of thousands has few distinct answers."""
    return functools.cache(lambda answer: tuple(tokenizer.encode(answer)))


def best_wrong(correct: str, wrong: Sequence[Wrong], pieces: Pieces) -> tuple[Wrong, int] | None:
    """The first wrong answer whose length is nearest to the right one's, with the difference in pieces.

    None where no answer diverges from the right one: equal pieces (words the tokenizer does not know), or one that
    begins the other.
    """
    target = pieces(correct)
    cut = [(option, pieces(option.text)) for option in wrong]
    usable = [(abs(len(own) - len(target)), option) for option, own in cut if _diverge(own, target)]
    if not usable:
        return None
    difference, option = min(usable, key=lambda pair: pair[0])
    return option, difference


def _diverge(one: tuple[Hashable, ...], other: tuple[Hashable, ...]) -> bool:
    common = min(len(one), len(other))
    return one[:common] != other[:common]
