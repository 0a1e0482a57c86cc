"""Whether a text can carry a verdict on dictionaries.

Dictionaries are judged by the activations of a text. Where the model does no better on the text than guessing, where
many of its parts are unknown to the vocabulary, or where it is a few sentences, every place looks as good as another
by accident, and a verdict would accuse the right one: then none is given, and the reason is.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from causeway.engine.train.corpus import Corpus

FEWEST_TOKENS = 500
MOST_UNKNOWN = 0.1


def unknown_share(corpus: Corpus, unknown_id: int | None) -> float:
    """Share of the tokens that count which stand for something outside the vocabulary."""
    if unknown_id is None:
        return 0.0
    position = np.arange(corpus.tokens.shape[1])
    counted = (position >= corpus.first) & (position < corpus.lengths[:, None])
    return float((corpus.tokens[counted] == unknown_id).mean()) if counted.any() else 0.0


def doubts(loss: Mapping[str, Any]) -> list[str]:
    """Why a text carries no verdict; none where it does.

    Args:
        loss: the account of `loss_account`: tokens, loss, guessing, unknown.
    """
    found = []
    if loss["loss"] >= loss["guessing"]:
        found.append(
            f"the model does no better on this text than guessing (loss {loss['loss']:.2f}, guessing "
            f"{loss['guessing']:.2f}): not a text it knows, or not the right weights or tokenizer"
        )
    if loss["unknown"] > MOST_UNKNOWN:
        found.append(f"{loss['unknown']:.0%} of its tokens are not in the vocabulary")
    if loss["tokens"] < FEWEST_TOKENS:
        found.append(f"it has {loss['tokens']} tokens, of {FEWEST_TOKENS} needed")
    return found
