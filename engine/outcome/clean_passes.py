"""The clean passes of several prompts, kept so that edited rows of any of them start where they begin to differ.

A row that edits layer l from position q on is the clean pass below l, and at the tokens before q: it needs the stream
before block l, and the keys and values of all tokens. Both are kept of every layer, [L, P, W, ...] of P prompts in one
bucket of W tokens.

Memory: 4 L W (D + 2 G K) bytes a prompt in float32, and what rows hold of the pass; `group_size` bounds their number.
Bits: passes run in batches of one width, so that a prompt's are its own.
"""

import dataclasses
from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from causeway.engine.devices import RowParallel, parallel_of
from causeway.engine.dictionary.placement import InMemory
from causeway.engine.frozen.record import recorded
from causeway.engine.gathered import to_host
from causeway.engine.intervention.held import Held, needed_streams
from causeway.engine.intervention.hold import HeldLayers
from causeway.engine.model.buckets import bucket_width, row_width
from causeway.engine.model.config import ModelConfig
from causeway.engine.model.finite import NotFiniteError, refuse, rows_finite
from causeway.engine.model.forward import causal_pass
from causeway.engine.model.transformer import Transformer
from causeway.engine.precision import full_precision

# Tokens of a batch of clean passes, as in `calls.run`.
BATCH_TOKENS = 128
# What clean passes may take together, in bytes; one prompt may take more.
STORE_BYTES = 2**28
MOST_BATCHES = 2**30


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class CleanPasses:
    """Clean passes of P prompts in one bucket.

    streams: the stream before each block. keys, values: of each block, keys rotated. last: the last token's stream
    after the final norm. held: what rows hold of the passes, whose streams are [L, P, W, ...]. lengths: tokens of each.
    kept: further streams that were asked for, [L, P, W, ...].
    """

    streams: Float[Array, "L P W D"]
    keys: Float[Array, "L P W G K"]
    values: Float[Array, "L P W G K"]
    last: Float[Array, "P D"]
    held: Held | None
    lengths: Int[Array, " P"]
    kept: dict[str, Float[Array, "L P W D"]]


def group_size(config: ModelConfig, width: int) -> int:
    """How many prompts of a bucket are kept at a time."""
    numbers = config.num_layers * width * (config.d_model + 2 * config.num_kv_heads * config.head_dim)
    return max(1, STORE_BYTES // (4 * numbers))


def clean_passes(
    transformer: Transformer,
    prompts: Sequence[Sequence[int]],
    held: HeldLayers,
    dictionary: InMemory | None = None,
    keep: tuple[str, ...] = (),
    parallel: RowParallel | None = None,
) -> CleanPasses:
    """Run prompts of one bucket once each.

    Args:
        prompts: token ids. held: what rows will hold. dictionary: of their edits. keep: further streams wanted.
        parallel: devices to spread prompts over (default: those of the weights).

    Raises:
        NotFiniteError: a pass does not give numbers; its row is the prompt's number.
    """
    width = bucket_width(len(prompts[0]))
    batch = max(1, BATCH_TOKENS // width)
    count = -(-len(prompts) // batch) * batch
    padded, lengths = np.zeros((count, width), np.int32), np.full(count, len(prompts[0]), np.int32)
    for row, ids in enumerate([*prompts, *[prompts[0]] * (count - len(prompts))]):
        padded[row, : len(ids)], lengths[row] = ids, len(ids)
    names = needed_streams(held, transformer.config.post_norms, dictionary) if held else ()
    asked = tuple(dict.fromkeys((*names, *keep)))
    parallel = parallel or parallel_of(transformer)
    placed = parallel.replicate(transformer)
    batches = [(padded[at : at + batch], lengths[at : at + batch]) for at in range(0, count, batch)]
    parts: list[Any] = []
    for stripe in parallel.deal(batches):
        results = parallel.run(_pass, placed, stripe, names=asked)
        for rows, (found, finite) in zip(stripe, results, strict=True):
            _check(transformer, rows, to_host(finite), first=len(parts) * batch)
            parts.append(found)
    # A power of two of batches, so that few programs serve all numbers of prompts.
    parts += parts[:1] * (row_width(len(parts), MOST_BATCHES) - len(parts))
    streams, keys, values, last, found, tokens = jax.tree.map(lambda *a: jnp.concatenate(a, axis=1), *parts)
    own = Held.of(held, {name: found[name] for name in names}, dictionary) if held else None
    kept = {name: found[name] for name in keep}
    return CleanPasses(streams, keys, values, last[0], own, tokens[0], kept)


def _check(
    transformer: Transformer, rows: tuple[np.ndarray, np.ndarray], finite: Bool[np.ndarray, " P"], first: int
) -> None:
    """Refuse a batch, of prompts from `first` on, one of which does not give numbers."""
    if not finite.all():
        tokens, lengths = map(jnp.asarray, rows)
        try:
            refuse(partial(full_precision(causal_pass), transformer, tokens, lengths=lengths), ~finite)
        except NotFiniteError as error:
            raise NotFiniteError(str(error), first + error.row) from None


def _pass(
    transformer: Transformer, rows: tuple[Int[Array, "P W"], Int[Array, " P"]], *, names: tuple[str, ...]
) -> tuple[tuple, Array]:
    """Streams, keys, values, the last token [1, P, D], what is held, lengths; and whether they are numbers [P]."""
    tokens, lengths = rows
    asked = tuple(dict.fromkeys(("resid_pre", "final_norm", *names)))
    out, found = recorded(transformer, tokens, lengths, asked, None, keep_cache=True)
    final = found["final_norm"][0]
    last = jnp.take_along_axis(final, (lengths - 1)[:, None, None], axis=1)[:, 0]
    held = {name: found[name] for name in names}
    finite = jnp.all(out.finite, axis=1) & rows_finite(last[:, None])[:, 0]
    return (found["resid_pre"], *out.cache, last[None], held, lengths[None]), finite
