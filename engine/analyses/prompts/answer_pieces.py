"""How long an answer is, and which wrong answer suits a right one.

A log probability summed over more tokens is lower, whatever the model knows, and dividing by the number of tokens
over-corrects; so the wrong answer has as many tokens as the right one wherever there is one that has. With a tokenizer
its own tokens count, after the prompt. Without one, an answer is cut as most tokenizers cut: into words, single digits
and marks.
"""

import functools
import re
from collections.abc import Callable, Hashable, Sequence

from causeway.engine.analyses.prompts.prompt import Wrong
from causeway.engine.model.text import Tokenizer, continued

# The pieces of an answer after a prompt.
Pieces = Callable[[str, str], tuple[Hashable, ...]]

_PIECE = re.compile(r" ?[^\W\d_]+| ?[^\w\s]|\d|_|\s")


def text_pieces(prompt: str, answer: str) -> tuple[str, ...]:
    """Words, single digits and marks of an answer, whatever the prompt."""
    return _text_pieces(answer)


@functools.cache
def _text_pieces(answer: str) -> tuple[str, ...]:
    return tuple(_PIECE.findall(answer))


def token_pieces(tokenizer: Tokenizer) -> Pieces:
    """A tokenizer's cut of an answer after the last word of its prompt.

    Remembered, because a set of thousands has few distinct answers and endings.
    """

    @functools.cache
    def after(ending: str, answer: str) -> tuple[int, ...]:
        tokenizer.encode(answer)  # refuses what is not in the vocabulary; whether a prompt is, is for whoever runs it
        return tuple(continued(tokenizer, ending, [answer], unknown=True)[1][0])

    return lambda prompt, answer: after(_last_word(prompt), answer)


def _last_word(prompt: str) -> str:
    """From the last space that a word follows."""
    return prompt[prompt.rstrip().rfind(" ") + 1 :]


def best_wrong(prompt: str, correct: str, wrong: Sequence[Wrong], pieces: Pieces) -> tuple[Wrong, int] | None:
    """The first wrong answer whose length is nearest to the right one's, with the difference in pieces.

    None where no answer diverges from the right one: equal pieces (words the tokenizer does not know), or one that
    begins the other.
    """
    target = pieces(prompt, correct)
    cut = [(option, pieces(prompt, option.text)) for option in wrong]
    usable = [(abs(len(own) - len(target)), option) for option, own in cut if _diverge(own, target)]
    if not usable:
        return None
    difference, option = min(usable, key=lambda pair: pair[0])
    return option, difference


def _diverge(one: tuple[Hashable, ...], other: tuple[Hashable, ...]) -> bool:
    common = min(len(one), len(other))
    return one[:common] != other[:common]
