"""Parts of a block held at what they were in the clean pass.

    norm(x) = gain * centre(x) / sigma_clean (+ bias)          z_h[t] = sum_s P_clean_h[t, s] v_h[s]

A block with held norms is the block itself with other norms in it, so that everything else stays written once
(`model.block`). Where only some layers are held, `here` tells whether this one is: it is traced, because layers share
one program.

`Holding` is which layers hold what, as data. Of a set C of layers there are two readings:

    reading             patterns     norms            MLP outputs    what features write
    held layers         in C         in C             in C           everywhere
    circuit-tracer's    everywhere   nowhere          in C           in C alone
    C all layers        everywhere   everywhere       everywhere     everywhere

Held layers are as in the clean pass whole, and every other layer runs open. circuit-tracer's `constrained_layers` says
up to where MLPs do not answer: attention never does, norms always do, and what a cross-layer decoder writes outside C
is dropped. Over all layers the readings are the same pass.

Shapes: B rows, T tokens, H heads, G kv heads, K head width, D model.
"""

import dataclasses
from collections.abc import Sequence
from typing import Literal, cast

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Bool, Float

from causeway.engine.arrays import AnyArray
from causeway.engine.frozen.record import FrozenRecord
from causeway.engine.model.config import ModelConfig
from causeway.engine.model.transformer import Block, LayerNorm, RMSNorm

Here = Bool[Array, ""] | Literal[True]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Holding:
    """Layers whose attention patterns, norms (the last entry is the final norm) and MLP outputs are held, and layers
    to which features write."""

    patterns: Bool[AnyArray, " L"]
    norms: Bool[AnyArray, " L+1"]
    outputs: Bool[AnyArray, " L"]
    writes: Bool[AnyArray, " L"]

    @classmethod
    def of_layers(cls, layers: Sequence[int], num_layers: int) -> "Holding":
        """These layers whole, the final norm with the last one; the others run open."""
        held = np.isin(np.arange(num_layers), layers)
        return cls(held, np.append(held, held[-1]), held, np.ones(num_layers, bool))

    @classmethod
    def as_circuit_tracer(cls, layers: Sequence[int], num_layers: int) -> "Holding":
        """What circuit-tracer's `constrained_layers` means."""
        inside = np.isin(np.arange(num_layers), layers)
        return cls(np.ones(num_layers, bool), np.full(num_layers + 1, inside.all()), inside, inside)

    @property
    def whole(self) -> bool:
        """Whether everything is held, so that no program has to ask layer by layer."""
        return bool(np.asarray(self.patterns).all() and np.asarray(self.norms).all() and np.asarray(self.outputs).all())


class HeldNorm(nnx.Module):
    """A norm whose denominators are given: 1 / sigma at each position [T], the same for all rows."""

    def __init__(self, norm: RMSNorm | LayerNorm, inverse: Float[Array, " T"], here: Here = True):
        self.norm, self.inverse = norm, nnx.data(inverse)
        self.here = nnx.data(here) if isinstance(here, jax.Array) else here

    def normalise(self, x: Float[Array, "B T D"]) -> Float[Array, "B T D"]:
        """x centred, over the denominators."""
        x = x.astype(self.norm.numerics.accumulate_dtype)
        inverse = self.inverse[None, :, None].astype(x.dtype)
        if not isinstance(self.here, bool):
            inverse = jnp.where(self.here, inverse, self.norm.inverse_sigma(x)[..., None])
        return self.norm.centre(x) * inverse

    def scale(self, normalised: Float[Array, "B T D"]) -> Float[Array, "B T D"]:
        """Gain and bias."""
        return self.norm.scale(normalised)

    def __call__(self, x: Float[Array, "B T D"]) -> Float[Array, "B T D"]:
        """The whole norm."""
        return self.scale(self.normalise(x))


def with_held_norms(block: Block, record: FrozenRecord, index: Array, here: Here) -> Block:
    """The block with the clean pass's denominators; what is behind the MLP is not asked where its output is held."""
    held = jax.tree.map(lambda leaf: leaf, block)

    def hold(norm: RMSNorm | LayerNorm, inverse: Float[Array, "L T"]) -> RMSNorm:
        return cast(RMSNorm, HeldNorm(norm, inverse[index], here))

    held.attn_norm, held.mlp_norm = hold(block.attn_norm, record.attn_scale), hold(block.mlp_norm, record.mlp_scale)
    if hasattr(block, "attn_post_norm"):
        held.attn_post_norm = hold(block.attn_post_norm, record.attn_post_scale)
    return held


def mix(pattern: Float[Array, "H T S"], v: Float[Array, "B S G K"], config: ModelConfig) -> Float[Array, "B T H K"]:
    """Head outputs of held patterns."""
    groups, dtype = config.num_kv_heads, pattern.dtype
    grouped = pattern.reshape(groups, config.num_heads // groups, *pattern.shape[1:]).astype(v.dtype)
    z = jnp.einsum("grts,bsgk->btgrk", grouped, v, preferred_element_type=dtype)
    return z.reshape(*z.shape[:2], config.num_heads, -1).astype(v.dtype)
