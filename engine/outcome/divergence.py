"""Where answers part: the first token at which they differ.

Comparing two answers by their first token alone is wrong where they share it. Qwen splits " 73" into " ", "7", "3" and
" 75" into " ", "7", "5": the first two tokens are the same for both, so any difference of first-token logits is 0. The
shared tokens belong to the prompt (they are fed, not predicted), and the answers are told apart by the token after.

    prompt' = prompt + shared          token_i = answer_i[len(shared)]
"""

import dataclasses
from collections.abc import Sequence

from causeway.engine.model.handle import Model, Prompt, check_model


@dataclasses.dataclass(frozen=True)
class Divergence:
    """A prompt up to the point where its answers part, and each answer's next token.

    Attributes:
        prompt: token ids of the prompt and of what the answers share.
        shared: how many of them the answers share.
        tokens: for each answer, the first token in which it differs from the others.
    """

    prompt: tuple[int, ...]
    shared: int
    tokens: tuple[int, ...]


def first_divergence(prompt: Sequence[int], answers: Sequence[Sequence[int]]) -> Divergence:
    """Where the answers to a prompt part, from token ids.

    Raises:
        ValueError: fewer than two answers, or two that do not differ at the token where the answers part: equal
            ones, one that begins another, or three of which two part later.
    """
    if len(answers) < 2:
        raise ValueError(f"answers: got {len(answers)}; needs two or more that are to be told apart")
    shared = 0
    while all(len(ids) > shared for ids in answers) and len({ids[shared] for ids in answers}) == 1:
        shared += 1
    ended = [i for i, ids in enumerate(answers) if len(ids) == shared]
    if ended:
        raise ValueError(
            f"answers: number {ended[0]} ({list(answers[ended[0]])}) has no token of its own after the {shared} it "
            "shares with the others; answers that never diverge cannot be compared"
        )
    tokens = tuple(int(ids[shared]) for ids in answers)
    if len(set(tokens)) < len(tokens):
        twice = next(token for token in tokens if tokens.count(token) > 1)
        raise ValueError(
            f"answers: token {twice} follows the {shared} shared ones in more than one answer; "
            "compare them pair by pair"
        )
    return Divergence((*(int(i) for i in prompt), *(int(i) for i in answers[0][:shared])), shared, tokens)


def diverging_answers(model: Model, prompt: Prompt, answers: Sequence[str]) -> Divergence:
    """Where the answers to a prompt part, from text; the model's own BOS policy applies to a prompt of text.

    Raises:
        ValueError: see `first_divergence`; one text in place of the answers, or a prompt whose tokens change when an
            answer follows it.
    """
    check_model(model)
    return first_divergence(model.tokens(prompt), model.answer_tokens(prompt, answers))
