"""The largest logits at every token that a model wrote: one teacher-forced pass of each prompt and what follows it.

Step i is the choice of the i-th token written (from 0), read where the prompt and the i tokens before it end. Greedy
texts have it at rank 0, but where two logits are so near that another program's rounding turns them round.

Shapes: k largest. Cost: one forward pass a prompt, 2 D V a token written.
"""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from causeway.engine.calls.continuations import Continuation
from causeway.engine.devices import RowParallel
from causeway.engine.model.handle import Model
from causeway.engine.reading.job import Kept, read_kept
from causeway.engine.reading.passes import ROWS, ReadRow, check_read
from causeway.engine.reading.reductions import TopLogits
from causeway.engine.tokenized_prompt import TokenizedPrompt

SCHEMA = pa.schema([
    ("prompt", pa.int32()), ("id", pa.string()), ("step", pa.int32()), ("rank", pa.int32()), ("token", pa.int32()),
    ("text", pa.string()), ("logit", pa.float32()),
])  # fmt: skip


def check_k(model: Model, k: int) -> None:
    """Refuse more logits than there are.

    Raises:
        ValueError: k is above the vocabulary.
    """
    if k > model.config.vocab_size:
        raise ValueError(f"record_logits: got {k}; the vocabulary has {model.config.vocab_size} tokens")


def top_logits(
    model: Model,
    prompts: Sequence[TokenizedPrompt],
    written: Sequence[Continuation],
    k: int,
    *,
    batch_rows: int = ROWS,
    parallel: RowParallel | None = None,
    kept: Kept | None = None,
) -> pa.Table:
    """The k largest next-token logits at every written token.

    Returns:
        A row for each prompt, step and rank: prompt (its number), id, step, rank, token, text, logit.

    Raises:
        ValueError: k above the vocabulary.
        NotFiniteError: a pass is not all numbers.
    """
    check_k(model, k)
    rows = [_row(prompt.tokens, one.tokens) for prompt, one in zip(prompts, written, strict=True)]
    check_read(model.transformer, rows, batch_rows)
    parts = read_kept(
        kept, model.transformer, rows, ("final_norm",), None, TopLogits(k), layers=(model.config.num_layers,),
        batch_rows=batch_rows, parallel=parallel, slots=lambda count, width: 1 << (count - 1).bit_length(),
        name=lambda row: f"prompt {prompts[row].record.id or row + 1}",
    )  # fmt: skip
    found: dict[int, tuple[np.ndarray, np.ndarray]] = {}
    for part in parts:
        for number, ids, values in zip(part.rows, part.values["ids"], part.values["values"], strict=True):
            steps = len(rows[number].places)
            found[int(number)] = ids[:steps], values[:steps]
    return _table(model, prompts, [found[number] for number in range(len(rows))])


def _row(prompt: tuple[int, ...], written: tuple[int, ...]) -> ReadRow:
    return ReadRow(prompt + written[:-1], range(len(prompt) - 1, len(prompt) - 1 + len(written)))


def _table(
    model: Model, prompts: Sequence[TokenizedPrompt], found: Sequence[tuple[np.ndarray, np.ndarray]]
) -> pa.Table:
    steps = np.array([len(ids) for ids, _ in found])
    ids, values = (np.concatenate(arrays) for arrays in zip(*found, strict=True))
    k, number = ids.shape[1], np.repeat(np.arange(len(found)), steps)
    step = np.concatenate([np.arange(count) for count in steps])
    # As it stands within a text: after a token, whose first space a tokenizer may otherwise leave out.
    text = {token: model.text_after(prompts[0].tokens, [token]) for token in np.unique(ids).tolist()}
    return pa.table({
        "prompt": np.repeat(number, k), "id": [prompts[i].record.id for i in np.repeat(number, k).tolist()],
        "step": np.repeat(step, k), "rank": np.tile(np.arange(k), len(ids)), "token": ids.ravel(),
        "text": [text[token] for token in ids.ravel().tolist()], "logit": values.ravel(),
    }, SCHEMA)  # fmt: skip
