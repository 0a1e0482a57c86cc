"""The clean pass of a prompt, and thousands of interventions on it.

The clean pass is run once and shared by all rows; what they hold of it is in `intervention.hold`.
"""

import functools
from collections.abc import Iterator, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from causeway.engine.analyses.intervene.propagate import Clean, Propagated, propagate
from causeway.engine.devices import RowParallel, parallel_of
from causeway.engine.dictionary.finite import refuse_features
from causeway.engine.frozen.record import record_prompt
from causeway.engine.frozen.sources import Transcoders, check_of_model, encode, of_model
from causeway.engine.intervention.checks import check_edits
from causeway.engine.intervention.edits import Edit
from causeway.engine.intervention.hold import AnyHolds, HeldLayers, check_held
from causeway.engine.intervention.rows import Batch, Rows
from causeway.engine.intervention.void import check_void
from causeway.engine.model.finite import all_finite, traced
from causeway.engine.model.handle import Model
from causeway.engine.precision import full_precision

# Tokens of a batch of rows, which bounds its memory: 128 rows of 64 tokens, 8 of 1,024.
BATCH_TOKENS = 8192


class CleanRun:
    """The clean pass of a prompt, and interventions on it.

    Args:
        model, transcoders, prompt: as for `intervene`.
        parallel: devices to spread rows over (default: those of the weights).
        further: streams that rows hold, beside patterns, norms, what MLPs write, and the dictionary's streams.

    Raises:
        ValueError: transcoders that do not fit the model.
    """

    def __init__(
        self,
        model: Model,
        transcoders: Transcoders,
        prompt: str | Sequence[int],
        parallel: RowParallel | None = None,
        further: Sequence[str] = (),
    ):
        check_transcoders(model, transcoders)
        transcoders = of_model(model, transcoders)
        self.model, self.transcoders, self.tokens = model, transcoders, tuple(model.tokens(prompt))
        self.parallel = parallel or parallel_of(model.transformer, transcoders)
        self.record = record_prompt(model.transformer, self.tokens, transcoders.config, further)
        self.shared = self.parallel.replicate((model.transformer, transcoders, self.record))

    @property
    def logits(self) -> Float[np.ndarray, "T V"]:
        """Of the clean pass."""
        return np.asarray(self.record.logits)[: len(self.tokens)]

    def activations(self, layer: int) -> Float[np.ndarray, "T F"]:
        """Clean feature activations of one layer."""
        x = self.record.streams[self.transcoders.config.stream][layer, : len(self.tokens)]
        return encoded(self.transcoders, layer, x)

    def last_logits(
        self,
        rows: Rows,
        holds: AnyHolds = "open",
        width: int | None = None,
    ) -> Float[np.ndarray, "R V"]:
        """Logits of the last token under each row.

        Args:
            width: of a batch, per device; None takes one that the prompt's length allows.

        Raises:
            ValueError: see `intervene`.
        """
        held = HeldLayers.of(holds, self.model.config.num_layers, self.transcoders.config.layers)
        width = width or max(8, min(128, BATCH_TOKENS // self.record.embedding.shape[0]))
        out = np.zeros((rows.count, self.model.config.vocab_size), self.record.logits.dtype)
        batches = checked_batches(rows, width, self.model, self.transcoders, len(self.tokens), held)
        for numbers, found in self.propagate(rows, batches, held, [len(self.tokens) - 1]):
            out[numbers] = np.asarray(found.logits)[: len(numbers), 0]
        return out

    def propagate(
        self,
        interventions: Rows,
        batches: Sequence[Batch],
        held: HeldLayers,
        positions: Sequence[int],
        keep: bool = False,
    ) -> Iterator[tuple[np.ndarray, Propagated]]:
        """Row numbers and results, batch by batch.

        Args:
            batches: of the interventions, as `checked_batches` deals them; their width fixes the bits.
            positions: where logits are wanted, neighbours.

        Raises:
            NotFiniteError: naming the row's intervention, layer and site.
        """
        kept = self.record.held(held, self.transcoders)
        clean = Clean(*self.shared, *self.parallel.replicate((kept, np.asarray(positions, np.int32))))
        for stripe in self.parallel.stripes(batches, lambda batch: batch.shape):
            own = [self._own(batch) for batch in stripe]
            results = self.parallel.run(propagate, clean, own, keep=keep)
            for i, (batch, out) in enumerate(zip(stripe, results, strict=True)):
                broken = ~np.asarray(out.finite)
                if broken[: len(batch.rows)].any() and not all_finite(out.logits[: len(batch.rows)]):
                    again = functools.partial(full_precision(propagate), clean, own[i], keep=keep)
                    error = traced(again, broken)
                    raise error.of(interventions.name(int(batch.rows[error.row])))
                yield batch.rows, out

    def _own(self, batch: Batch) -> tuple[tuple[Edit, ...], np.ndarray]:
        dtype = np.dtype(self.model.numerics.accumulate)
        with np.errstate(over="ignore"):  # what a dtype cannot hold is named by the pass
            edits = jax.tree.map(lambda a: a.astype(dtype) if a.dtype.kind == "f" else a, batch.edits)
        return edits, np.asarray(batch.first, np.int32)


def checked_batches(
    interventions: Rows, rows: int, model: Model, transcoders: Transcoders, length: int, held: HeldLayers
) -> list[Batch]:
    """All batches of a prompt of `length` tokens, so many rows each.

    Raises:
        ValueError: see `intervene`.
    """
    check_held(held, model.config, transcoders)
    for edit in interventions.edits:
        position, layer = np.asarray(edit.start), np.asarray(edit.layer)
        if (bad := position[position >= length]).size:
            raise ValueError(
                f"edits: position {bad[0]} is not in the prompt of {length} tokens, which is all that is run"
            )
        features = layer[(layer >= 0) & (layer < len(held.writes))] if edit.spec.family == "feature" else layer[:0]
        if (outside := features[~held.writes[features]]).size:
            raise ValueError(
                f"constrained_layers: layer {outside[0]} is not among them, so what its features write is dropped; "
                "edit layers that are, or use held_layers"
            )
    batches = list(interventions.batches(rows, model.config.num_layers))
    for batch in batches:
        check_edits(batch.edits, model.config, transcoders, batch.numbers)
        check_void(batch.edits, held, transcoders, all_features=True)
    return batches


def encoded(transcoders: Transcoders, layer: int, x: Float[jax.Array, "T D"]) -> Float[np.ndarray, "T F"]:
    """Feature activations of one layer, in float32 or wider.

    Raises:
        NotFiniteError: one is not a number.
        ValueError: the layer has no transcoder.
    """
    transcoders.config.index_of(layer)
    f = np.asarray(encode(transcoders, layer, x.astype(jnp.promote_types(x.dtype, jnp.float32))))
    if not all_finite(f):
        refuse_features(int(np.isfinite(f).all(axis=0).argmin()), layer, transcoders)
    return f


def check_transcoders(model: Model, transcoders: Transcoders) -> None:
    """Refuse transcoders that cannot be intervened on, before anything is compiled.

    Raises:
        ValueError: layers or widths that are not the model's, or a kind without one pre-activation a feature.
    """
    config = transcoders.config
    if config.kind == "matching_pursuit":
        raise ValueError(f"transcoders: kind {config.kind!r}; needs a dictionary of one pre-activation a feature")
    check_of_model(model, transcoders)
    if model.config.parallel_blocks and config.stream == "resid_mid":
        raise ValueError("transcoders: read resid_mid, which parallel blocks do not have; load those of this model")
