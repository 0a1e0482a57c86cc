"""Many prompts recorded for the frozen pass, in batches of one width.

How many rows a batch has follows from the model and the width of its bucket alone, and a batch that is not full repeats
its last prompt, so a prompt's numbers do not depend on those that are run with it. A record holds patterns and neurons
of every layer; rows are as many as fit into `RECORD_BYTES`, and no more than make a product of `BATCH_TOKENS` rows.

Shapes: B rows of a batch, T its width.
Memory: 4 L T (N + H T) bytes a row, in float32.
"""

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Bool, Int

from causeway.engine.devices import RowParallel
from causeway.engine.gathered import to_host
from causeway.engine.model.buckets import bucket_width
from causeway.engine.model.config import ModelConfig
from causeway.engine.model.forward import check_rows
from causeway.engine.model.transformer import Transformer
from causeway.engine.progress import Step

# (transformer, shared), (tokens [B, T], lengths [B], positions [B], extra) -> results, finite [B]
BatchProgram = Callable[..., tuple[Any, Bool[Array, " B"]]]
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


def run_batches(
    parallel: RowParallel,
    transformer: Transformer,
    prompts: Sequence[ReadPrompt],
    batches: Sequence[Sequence[int]],
    function: BatchProgram,
    extra: Callable[[Batch], Any] = lambda batch: (),
    shared: Any = None,
    **static: Any,
) -> Iterator[tuple[Batch, Any]]:
    """Run a program on batches of prompts, as many at a time as there are devices.

    Args:
        parallel: the devices.
        transformer: the model, placed on them (`RowParallel.replicate`).
        prompts: all of them. batches: numbers of the prompts of each (`deal`).
        function: `function((transformer, shared), (tokens, lengths, positions, extra), **static)`, a module's own
            function, gives a tree of arrays [B, ...] and whether each row's pass gave numbers, [B].
        extra: arrays [B, ...] of a batch, beside. shared: arrays that rows share, placed on the devices.
        static: what the program is compiled for.

    Yields:
        A batch and its results as numpy arrays [n, ...], without the rows that fill it.

    Raises:
        NotFiniteError: a prompt's pass does not give numbers; it names the prompt, layer and site.
    """
    made = [filled(prompts, numbers, transformer.config) for numbers in batches]
    program = parallel.program(function, **static)
    alike = (list(same) for _, same in itertools.groupby(made, key=lambda batch: batch.tokens.shape))
    with Step("prompts run", sum(map(len, batches)), "prompt") as step:
        for stripe in itertools.chain.from_iterable(map(parallel.deal, alike)):
            own = parallel.place([(b.tokens, b.lengths, b.positions, extra(b)) for b in stripe])
            found = to_host(program((transformer, shared), own))
            for batch, (out, finite) in zip(stripe, parallel.apart(found, len(stripe)), strict=True):
                names = [prompts[number].name for number in batch.numbers]
                check_rows(finite, transformer, batch.tokens, batch.lengths, names)
                yield batch, _first(out, len(names))
                step.advance(len(names))


def _first(tree: Any, count: int) -> Any:
    """Results without the rows that fill a batch."""
    return jax.tree.map(lambda array: array[:count], tree)
