"""Many prompts recorded for the frozen pass, in batches of one width.

How many rows a batch has follows from the model and the width of its bucket alone, and a batch that is not full repeats
its last prompt, so a prompt's numbers do not depend on those that are run with it. A record holds patterns and neurons
of every layer; rows are as many as fit into `RECORD_BYTES`, and no more than make a product of `BATCH_TOKENS` rows.

Shapes: B rows of a batch, T its width.
Memory: 4 L T (N + H T) bytes a row, in float32.
"""

import dataclasses
from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Int

from causeway.engine.frozen.record import FrozenRecord, record_rows
from causeway.engine.model.buckets import bucket_width
from causeway.engine.model.config import ModelConfig
from causeway.engine.model.forward import check_rows
from causeway.engine.model.transformer import Transformer
from causeway.engine.precision import full_precision

BATCH_TOKENS = 1024
RECORD_BYTES = 2**28


@dataclasses.dataclass(frozen=True)
class ReadPrompt:
    """A prompt and where it is read.

    Attributes:
        tokens: ids it is run as. position: of the token read. name: for errors.
    """

    tokens: tuple[int, ...]
    position: int
    name: str


@dataclasses.dataclass(frozen=True)
class Batch:
    """Rows of one width.

    Attributes:
        numbers: of the prompts; the arrays may be longer. tokens: [B, T]. lengths, positions: [B].
    """

    numbers: tuple[int, ...]
    tokens: Int[np.ndarray, "B T"]
    lengths: Int[np.ndarray, " B"]
    positions: Int[np.ndarray, " B"]


def batch_rows(config: ModelConfig, width: int) -> int:
    """B of a bucket."""
    row = 4 * config.num_layers * width * (config.d_ff + config.num_heads * width)
    return max(1, min(BATCH_TOKENS // width, RECORD_BYTES // row))


def deal(prompts: Sequence[ReadPrompt], config: ModelConfig) -> list[tuple[int, ...]]:
    """Numbers of the prompts of each batch, narrow ones first and in the order given."""
    buckets: dict[int, list[int]] = {}
    for number, prompt in enumerate(prompts):
        buckets.setdefault(bucket_width(len(prompt.tokens), config.max_position), []).append(number)
    return [
        tuple(members[start : start + batch_rows(config, width)])
        for width, members in sorted(buckets.items())
        for start in range(0, len(members), batch_rows(config, width))
    ]


def filled(prompts: Sequence[ReadPrompt], numbers: Sequence[int], config: ModelConfig) -> Batch:
    """The arrays of a batch."""
    width = bucket_width(len(prompts[numbers[0]].tokens), config.max_position)
    rows = batch_rows(config, width)
    tokens, lengths, positions = np.zeros((rows, width), np.int32), np.zeros(rows, np.int32), np.zeros(rows, np.int32)
    for row in range(rows):
        prompt = prompts[numbers[min(row, len(numbers) - 1)]]
        tokens[row, : len(prompt.tokens)] = prompt.tokens
        lengths[row], positions[row] = len(prompt.tokens), prompt.position
    return Batch(tuple(numbers), tokens, lengths, positions)


def record_batch(
    transformer: Transformer, prompts: Sequence[ReadPrompt], batch: Batch, reads: tuple[str, ...]
) -> FrozenRecord:
    """The records of a batch, each array with a leading B; logits are the last tokens' alone.

    Args:
        reads: streams kept.

    Raises:
        NotFiniteError: a prompt's pass does not give numbers; it names the prompt, layer and site.
    """
    record, finite = _recorded(transformer, jnp.asarray(batch.tokens), jnp.asarray(batch.lengths), reads)
    names = [prompts[number].name for number in batch.numbers]
    check_rows(finite, transformer, batch.tokens, batch.lengths, names)
    return record


@partial(jax.jit, static_argnames="reads")
@full_precision
def _recorded(
    transformer: Transformer, tokens: Int[jax.Array, "B T"], lengths: Int[jax.Array, " B"], reads: tuple[str, ...]
) -> tuple[FrozenRecord, Bool[jax.Array, " B"]]:
    record = record_rows(transformer, tokens, lengths, reads, "last")
    return record, jnp.all(record.finite, axis=1)
