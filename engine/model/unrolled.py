"""A transformer of one array a layer, for programs that write its layers out.

A loop over layers runs a stack [L, ...]. Where layers are written out, as in the step of decoding, a slice of the stack
is a copy of the layer's weights at every step: on a GPU always, on a CPU inside a loop. So such a program takes each
block's own arrays as arguments, made once a run, before any program is called.

Cost: on a CPU none, since a layer's arrays are views of the stack's memory (where they start on 64 bytes); elsewhere
the blocks a second time in memory, and one copy of them.
"""

import dataclasses
from typing import Any

import jax
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec, Sharding, SingleDeviceSharding

from causeway.engine.model.config import ModelConfig, Numerics
from causeway.engine.model.transformer import Block, Transformer, without_blocks


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Unrolled:
    """A transformer of single blocks; `ends` is what stands before and after them."""

    ends: Transformer
    blocks: tuple[Block, ...]

    @property
    def config(self) -> ModelConfig:
        """Shapes and constants."""
        return self.ends.config

    @property
    def numerics(self) -> Numerics:
        """Dtypes."""
        return self.ends.numerics


def unrolled(transformer: Transformer) -> Unrolled:
    """The transformer with each layer's own arrays, where the stack is."""
    return Unrolled(without_blocks(transformer), layers_of(transformer.blocks))


def unrolled_off_cpu(transformer: Transformer) -> Transformer | Unrolled:
    """For programs that run either: a loop over the stack on a CPU, where one compiled layer serves all of them."""
    return transformer if on_cpu(jax.tree.leaves(transformer)[0]) else unrolled(transformer)


def layers_of(stacked: Any) -> tuple[Any, ...]:
    """The layers of a tree of stacked arrays, each a tree of arrays of its own."""
    leaves, structure = jax.tree.flatten(stacked)
    return tuple(jax.tree.unflatten(structure, layer) for layer in zip(*map(_apart, leaves), strict=True))


def _apart(stack: jax.Array) -> tuple[jax.Array, ...]:
    if isinstance(stack, jax.core.Tracer) or not stack.is_fully_addressable:
        return _copied(stack)
    sharding = _of_layer(stack.sharding)
    return _viewed(stack, sharding) if sharding is not None and on_cpu(stack) else _copied(stack)


def on_cpu(array: jax.Array) -> bool:
    """Whether layers of the array are views of its memory."""
    return {shard.device.platform for shard in array.addressable_shards} == {"cpu"}


@jax.jit
def _copied(stack: jax.Array) -> tuple[jax.Array, ...]:
    return tuple(stack[layer] for layer in range(len(stack)))


def _viewed(stack: jax.Array, sharding: Sharding) -> tuple[jax.Array, ...]:
    """Layers in the memory of the stack; jax takes memory over that starts on 64 bytes, and copies other."""
    parts = [jax.device_put(list(np.asarray(shard.data)), shard.device) for shard in stack.addressable_shards]
    return tuple(
        jax.make_array_from_single_device_arrays(stack.shape[1:], sharding, list(layer))
        for layer in zip(*parts, strict=True)
    )


def _of_layer(sharding: Sharding) -> Sharding | None:
    """The sharding of a layer of a stack whose axis of layers is whole; None where there is no telling."""
    if isinstance(sharding, SingleDeviceSharding):
        return sharding
    if not isinstance(sharding, NamedSharding) or (len(sharding.spec) and sharding.spec[0] is not None):
        return None
    return NamedSharding(sharding.mesh, PartitionSpec(*sharding.spec[1:]))
