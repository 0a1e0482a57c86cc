"""Log probabilities of answers by teacher forcing: log P(answer | prompt) = sum_i log P(t_i | prompt, t_1 .. t_{i-1}).

The two answers of a prompt are paths in a small tree. A row of a pass is the prompt and one path of inner tokens (the
tokens of an answer but its last), so one row scores both answers wherever one's inner tokens begin the other's: single
tokens, and numbers that differ in their last digit. Only answers that part earlier take a second row.

Rows are run as `reading.read` runs them, and logits are formed at the scored positions alone, never at every token.

Cost: a forward pass of each row without its logits, and 2 D V a scored token.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from causeway.engine.devices import RowParallel
from causeway.engine.model.handle import Model
from causeway.engine.model.transformer import Transformer
from causeway.engine.outcome.divergence import first_divergence
from causeway.engine.prompt_record import PromptRecord
from causeway.engine.reading.job import Kept, read_kept
from causeway.engine.reading.passes import ROWS, ReadRow, check_read
from causeway.engine.reading.reductions import AnswerLogProbabilities
from causeway.engine.tokenized_prompt import TokenizedPrompt, tokenized


def scorable(model: Model, record: PromptRecord) -> TokenizedPrompt:
    """A prompt with a right and a wrong answer, and its tokens.

    Raises:
        ValueError: a prompt of no tokens, answers that never diverge or that merge with the prompt's end, or more
            tokens than the context holds.
    """
    name = record.id or repr(record.text[:40])
    try:
        prompt = tokenized(model, record)
        first_divergence(prompt.tokens, prompt.pair)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
    longest, context = len(prompt.tokens) + max(map(len, prompt.pair)) - 1, model.config.max_position
    if longest > context:
        raise ValueError(
            f"{name}: {longest} tokens with its longer answer, but the context of {model.name} is {context}; shorten it"
        )
    return prompt


def answer_log_probabilities(
    transformer: Transformer,
    prompts: Sequence[TokenizedPrompt],
    *,
    rows: int = ROWS,
    parallel: RowParallel | None = None,
    kept: Kept | None = None,
) -> Float[np.ndarray, "N 2"]:
    """Log probability of both answers of each prompt, the correct one first; nats, summed in float64.

    Args:
        rows: rows of a pass, per device; part of what fixes the bits.
        parallel: devices the rows are spread over (default: those of the weights).
        kept: where what is read is kept, so that the same call goes on after an interruption.

    Raises:
        ValueError: fewer than one row.
        NotFiniteError: a log probability is not a number; it names the prompt by its number from 1 on, layer and site.
    """
    listed = [(index, row) for index, prompt in enumerate(prompts) for row in _rows(prompt)]
    run = [row for _, (row, _) in listed]
    check_read(transformer, run, rows)
    out = np.zeros((len(prompts), 2))
    parts = read_kept(
        kept, transformer, run, ("final_norm",), None, AnswerLogProbabilities(),
        layers=(transformer.config.num_layers,), batch_rows=rows, parallel=parallel, slots=_slots,
        name=lambda row: f"prompt {listed[row][0] + 1}",
    )  # fmt: skip
    for part in parts:
        for number, found in zip(part.rows, part.values["values"].astype(np.float64), strict=True):
            index, (_, answers) = listed[number]
            np.add.at(out[index], list(answers), found[: len(answers)])
    return out


def _rows(prompt: TokenizedPrompt) -> list[tuple[ReadRow, tuple[int, ...]]]:
    """Rows with the answer that each place is of (0 is the correct one): one row where one answer's inner tokens begin
    the other's, else one for each answer."""
    answers = prompt.pair
    inner = [answer[:-1] for answer in answers]
    longer = int(len(inner[1]) > len(inner[0]))
    reads = [[(len(prompt.tokens) - 1 + i, t, a) for i, t in enumerate(answers[a])] for a in (0, 1)]
    if inner[longer][: len(inner[1 - longer])] == inner[1 - longer]:
        return [_row(prompt.tokens + inner[longer], reads[0] + reads[1])]
    return [_row(prompt.tokens + inner[a], reads[a]) for a in (0, 1)]


def _row(tokens: tuple[int, ...], reads: list[tuple[int, int, int]]) -> tuple[ReadRow, tuple[int, ...]]:
    places, labels, answers = zip(*reads, strict=True)
    return ReadRow(tokens, places, labels), answers


def _slots(count: int, width: int) -> int:
    """Powers of two, so that answers of like length share a program."""
    return 1 << (count - 1).bit_length()
