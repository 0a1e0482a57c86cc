"""A transformer of one array a layer, for programs that write its layers out.

A loop over layers runs a stack [L, ...]. Where layers are written out, as in the step of decoding, a slice of the stack
is a copy of the layer's weights at every step: on a GPU always, on a CPU inside a loop. So such a program takes each
block's own arrays as arguments, made before any program is called. Programs that loop over layers take either
(`transformer.scan_layers`).

On a CPU the stack is what is kept: a layer's arrays are views of its memory (where they start on 64 bytes). Elsewhere a
model is loaded with blocks of their own (`single_off_cpu`), and weights are there once; of a stack that was made in
another way the blocks are copied for as long as rows are drawn.
"""

from typing import Any

import jax
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec, Sharding, SingleDeviceSharding

from causeway.engine.model.transformer import Block, Transformer, with_blocks


def unrolled(transformer: Transformer) -> Transformer:
    """The transformer with each layer's own arrays, where the stack is; itself, where it has them."""
    blocks = transformer.blocks
    return transformer if isinstance(blocks, tuple) else with_blocks(transformer, layers_of(blocks))


def unrolled_off_cpu(transformer: Transformer) -> Transformer:
    """For programs that run either: a loop over the stack on a CPU, where one compiled layer serves all of them."""
    return transformer if on_cpu(jax.tree.leaves(transformer)[0]) else unrolled(transformer)


def single_off_cpu(transformer: Transformer) -> Transformer:
    """A transformer just loaded, as it is kept: off the CPU in blocks of their own, its stack given up.

    One array of the stack after the other: the largest is there twice for a moment.
    """
    return transformer if on_cpu(jax.tree.leaves(transformer)[0]) else given_up(transformer)


def given_up(transformer: Transformer) -> Transformer:
    """`unrolled`, whose copies take the place of the stack's arrays; these are deleted."""
    leaves, structure = jax.tree.flatten(transformer.blocks)
    parts = []
    for stack in leaves:
        parts.append(_copied(stack))
        stack.delete()
    blocks = tuple(jax.tree.unflatten(structure, layer) for layer in zip(*parts, strict=True))
    return with_blocks(transformer, blocks)


def joined(transformer: Transformer) -> Transformer:
    """The transformer with its blocks stacked, in host memory where they were single ones: as files hold them."""
    if not isinstance(transformer.blocks, tuple):
        return transformer
    stack: Block = jax.tree.map(lambda *layers: np.stack([np.asarray(a) for a in layers]), *transformer.blocks)
    return with_blocks(transformer, stack)


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


def _copied(stack: jax.Array) -> tuple[jax.Array, ...]:
    sharding = None if isinstance(stack, jax.core.Tracer) else stack.sharding
    layers = _of_layer(sharding) if isinstance(sharding, NamedSharding) else None
    return jax.jit(_cut, out_shardings=layers)(stack)


def _cut(stack: jax.Array) -> tuple[jax.Array, ...]:
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
