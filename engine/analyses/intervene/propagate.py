"""The pass under intervention: many rows of one prompt, from the first edited layer up.

The original MLPs run. At a layer's write stream, what its features would write more or less is added,

    mlp_out += sum (value - f) W_dec_f                  (cross-layer decoders: at every layer above as well)

so that whatever the transcoders do not explain stays in place. What else is kept are holds (`intervention.hold`):
`open`, `freeze_attention` and `constrained` by name. f is the present activation, or, where MLP outputs are held, the
clean one. Fully constrained, changes are exactly the direct edges of the attribution graph. Edits of other kinds are
made where they are (`intervention.edits`).

Shapes: B rows, T tokens (a bucket), E slots, D model, L layers, Q positions whose logits are wanted.
Cost: one forward pass of B rows over the layers above the first edited one; 4 D operations a slot and layer, of ranked
dictionaries (TopK) one encode of the edited positions at the edited layers.
"""

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from causeway.engine.arrays import AnyArray
from causeway.engine.frozen.record import FrozenRecord
from causeway.engine.frozen.sources import Transcoders
from causeway.engine.intervention.apply import bind_all, write_edits
from causeway.engine.intervention.changes import Change
from causeway.engine.intervention.edges import Edges
from causeway.engine.intervention.edits import Edit
from causeway.engine.intervention.held import Held
from causeway.engine.intervention.instruments import Carried, Instruments, Observer
from causeway.engine.model.attention import attend_sequence, causal_mask, window_of
from causeway.engine.model.finite import sums_finite
from causeway.engine.model.transformer import Transformer
from causeway.engine.model.upper import top, upper


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Clean:
    """What all rows share. positions: where logits are wanted, neighbours [Q]."""

    transformer: Transformer
    transcoders: Transcoders
    record: FrozenRecord
    held: Held
    positions: Int[AnyArray, " Q"]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Propagated:
    """logits: [B, Q, V]. finite: whether a row's have a finite sum [B]. streams: what the transcoders read,
    [L, B, T, D], where kept."""

    logits: Float[Array, "B Q V"]
    finite: Bool[Array, " B"]
    streams: Float[Array, "L B T D"] | None


def propagate(clean: Clean, own: tuple[tuple[Edit, ...], Int[AnyArray, ""]], *, keep: bool) -> Propagated:
    """Run all rows; a program for `RowParallel.program`.

    Args:
        own: the rows' slots [B, E], and the lowest edited layer of any of them.
        keep: whether to return the streams that features read.
    """
    edits, first = own[0], jnp.asarray(own[1])
    config, record = clean.transformer.config, clean.record
    edited = Instruments(bind_all(edits, clean.transcoders))
    instruments, positions = dataclasses.replace(edited, held=clean.held), jnp.arange(record.embedding.shape[0])[None]
    x = record.streams["resid_pre"][first]
    x = jnp.broadcast_to(x, (len(edits[0].layer), *x.shape))
    x = Observer(edited, first, positions, record.finite[None])("embed", x)
    read = record.streams[clean.transcoders.config.stream]
    kept = jnp.broadcast_to(read[:, None], (read.shape[0], len(x), *read.shape[1:])) if keep else None

    def meet(index, carry):
        return _Meeting(clean, instruments, index, positions, *carry)

    x, (_, kept) = upper(clean.transformer, x, first, positions, meet, (instruments.carried(x), kept))
    last = dataclasses.replace(edited, held=clean.held.at_top(clean.positions))
    at = jnp.asarray(clean.positions)
    logits = top(clean.transformer, x[:, at], Observer(last, config.num_layers, at[None]))
    return Propagated(logits, sums_finite(logits), kept)


class _Meeting(Observer):
    """One layer of one trace, which keeps what features read: the stream before they write to it."""

    def __init__(
        self, clean: Clean, instruments: Instruments, index: Array, positions: Array, carried: Carried,
        kept: Array | None,
    ):  # fmt: skip
        super().__init__(instruments, index, positions, clean.record.finite[None], carried)
        self.clean, self.kept = clean, kept

    @property
    def carry(self) -> tuple[Carried, Array | None]:
        """What edits take to the layers above, and the streams read where they are kept."""
        return self.carried, self.kept if self.kept is None else self.kept.at[self.layer].set(self.read)

    def attend(self, q: Array, k: Array, v: Array) -> Float[Array, "B T H K"]:
        """Heads' outputs, by held patterns or by these."""
        transformer = self.clean.transformer
        mask = causal_mask(q.shape[1], window_of(transformer.config, self.layer))
        edges = Edges(self.positions, mask)
        return attend_sequence(
            q, k, v, mask, transformer.config, transformer.numerics, lambda stream, p: self(stream, p, edges)
        )

    def _with_features(self, stream: str, x: Array) -> Array:
        x = super()._with_features(stream, x)
        if stream == self.clean.transcoders.config.stream:
            self.read = x
        return x

    def _written(self, stream: str, changes: dict[int, Change], x: Array) -> Array:
        others = [change for i, change in changes.items() if self.on_streams[i].edit.spec.family != "feature"]
        if others and stream == self.clean.transcoders.config.stream:
            self.read = write_edits(others, x)
        return super()._written(stream, changes, x)
