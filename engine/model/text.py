"""Where text meets tokens: what a text's tokens are after another text, and what tokens add to one.

A tokenizer cuts a text as a whole: it may put a space before the first word and take it away again when it decodes
(SentencePiece), and it merges across any border that a person draws. So a text that continues another one is encoded
together with it, and tokens that continue others are decoded after them. Nothing else in the house encodes an answer,
a target or a role by itself.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Protocol


class Tokenizer(Protocol):
    """Text to token ids and back; no special token is ever added or removed silently."""

    vocab_size: int
    bos_id: int | None
    eos_id: int | None
    unknown_id: int | None
    special_ids: frozenset[int]
    parts_at_spaces: bool
    fingerprint: str

    def encode(self, text: str, unknown: bool = False) -> list[int]:
        """Token ids of a text, without special tokens around it; refused where a part is not in the vocabulary, unless
        `unknown` lets it stand for itself, as in a corpus."""
        ...

    def encode_all(self, texts: Sequence[str]) -> list[list[int]]:
        """`encode` of many texts, with `unknown`."""
        ...

    def decode(self, ids: Sequence[int]) -> str:
        """Text of token ids, special tokens included."""
        ...


def with_bos(tokenizer: Tokenizer, ids: Sequence[int]) -> list[int]:
    """Ids that begin with the begin-of-sequence token, once: a text may bring it along (chat templates write it)."""
    rest = without_bos(tokenizer, ids)
    return rest if tokenizer.bos_id is None else [tokenizer.bos_id, *rest]


def without_bos(tokenizer: Tokenizer, ids: Sequence[int]) -> list[int]:
    """Ids without the begin-of-sequence token they may begin with."""
    begins = len(ids) > 0 and tokenizer.bos_id is not None and ids[0] == tokenizer.bos_id
    return list(ids[1:] if begins else ids)


def with_eos(tokenizer: Tokenizer, ids: Sequence[int]) -> list[int]:
    """Ids that end with the end-of-sequence token, once; unchanged where there is none."""
    ends = len(ids) > 0 and ids[-1] == tokenizer.eos_id
    return [*ids] if ends or tokenizer.eos_id is None else [*ids, tokenizer.eos_id]


def continued(
    tokenizer: Tokenizer, before: str, texts: Sequence[str], unknown: bool = False
) -> tuple[list[int], list[list[int]]]:
    """The tokens of a text, and of others where they continue it: those of both together beyond its own.

    Args:
        unknown: whether parts that are not in the vocabulary stand for themselves, as in `Tokenizer.encode`.

    Raises:
        ValueError: a text changes the tokens before it (usually a space at their end), or holds a part that is not in
            the vocabulary.
    """
    encode = functools.partial(tokenizer.encode, unknown=True) if unknown else tokenizer.encode
    ids = encode(before)
    return ids, [_after(encode, before, ids, text) for text in texts]


def _after(encode: Callable[[str], list[int]], before: str, ids: list[int], text: str) -> list[int]:
    try:
        whole = encode(before + text)
    except ValueError as error:
        raise ValueError(f"answers: {text!r} after {before[-12:]!r} has no tokens ({error})") from None
    if whole[: len(ids)] != ids:
        raise ValueError(
            f"answers: {text!r} merges with the end of the prompt ({before[-12:]!r}) into other tokens; "
            f"move the space from the prompt's end to the text's beginning, or give token ids"
        )
    return whole[len(ids) :]


def text_of(tokenizer: Tokenizer, ids: Sequence[int]) -> str:
    """The text whose tokens these are, without the begin-of-sequence token before it."""
    return tokenizer.decode(without_bos(tokenizer, ids))


def text_after(tokenizer: Tokenizer, before: Sequence[int], ids: Sequence[int]) -> str:
    """The text that token ids add to those before them.

    Decoded after the last of them, because a text's first space may be stripped; after a lone begin-of-sequence
    token a text does begin.
    """
    anchor = list(before[-1:]) if len(without_bos(tokenizer, before)) else []
    start, whole = tokenizer.decode(anchor), tokenizer.decode([*anchor, *ids])
    # Half a character decodes to a mark, which the whole one does not begin with and two thirds of it do not add to.
    added = whole.removeprefix(start) if whole.startswith(start) else ""
    return added or tokenizer.decode(ids)


def token_texts(tokenizer: Tokenizer, ids: Sequence[int]) -> list[str]:
    """One text a token; together they are the text, where no character is cut in two."""
    return [text_after(tokenizer, ids[:i], ids[i : i + 1]) for i in range(len(ids))]
