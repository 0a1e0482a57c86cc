"""Whether a model's weights fit where they are to live, asked before any of them is read.

    needed on a device    the bytes of its shard of every parameter, from shapes alone; off the CPU those of the largest
                          array of the stack of blocks once more, while each block gets its own (`unrolled`)
    there                 `engine.memory`: the device's limit, or the share of what the host has left, since each of
                          its devices holds a copy in the same memory; for the same reason no mesh helps there

Weights alone are counted: what dictionaries and programs take besides is the business of `--plan`. What is refused
could not have been loaded; what would fit is named, each with its own size.
"""

import math

import jax
from jax.sharding import Mesh

from causeway.engine import memory
from causeway.engine.model.config import ModelConfig, Numerics, Storage
from causeway.engine.model.placement import Where, place_abstract
from causeway.engine.model.transformer import abstract_transformer

NARROWER: tuple[Storage, ...] = ("bfloat16", "int8")
MOST_PARTS = 64


def weight_bytes(config: ModelConfig, numerics: Numerics, where: Where = None) -> int:
    """Bytes of weights on each device."""
    leaves = jax.tree.leaves(place_abstract(abstract_transformer(config, numerics), where))
    return sum(_shard_bytes(leaf) for leaf in leaves)


def loading_bytes(config: ModelConfig, numerics: Numerics, where: Where = None) -> int:
    """Bytes that loading takes at most at a time on each device."""
    blocks = place_abstract(abstract_transformer(config, numerics), where).blocks
    twice = 0 if memory.in_host_memory() else max(map(_shard_bytes, jax.tree.leaves(blocks)))
    return weight_bytes(config, numerics, where) + twice


def check_fits(config: ModelConfig, numerics: Numerics, where: Where = None) -> None:
    """Refuse weights that no device could hold.

    Raises:
        ValueError: with the numbers, and what would fit.
    """
    needed, there = loading_bytes(config, numerics, where), memory.memory_each_bytes(_devices(where))
    if needed <= there:
        return
    fitting = [f"--storage={name} ({size / 1e9:.3g} GB)" for name, size in _narrower(config, numerics) if size <= there]
    parts = 1 << max(0, math.ceil(math.log2(needed / there)))
    if where is None and not memory.in_host_memory() and 1 < parts <= MOST_PARTS:
        fitting.append(f"--mesh=model:{parts} on {parts} such devices ({needed / parts / 1e9:.3g} GB each)")
    raise ValueError(
        f"storage: {config.family} of {config.num_layers} layers takes {needed / 1e9:.3g} GB in {numerics.storage} to "
        f"load on each device, which has {there / 1e9:.3g} GB; what would fit: {', or '.join(fitting) or 'nothing'}"
    )


def _narrower(config: ModelConfig, numerics: Numerics) -> list[tuple[str, int]]:
    present = loading_bytes(config, numerics)
    sizes = [(name, loading_bytes(config, Numerics(name, numerics.compute, numerics.accumulate))) for name in NARROWER]
    return [(name, size) for name, size in sizes if size < present]


def _devices(where: Where) -> int:
    """How many devices here get weights: without a mesh the default one alone, on which rows run then too."""
    if where is None:
        return 1
    return len(where.local_devices if isinstance(where, Mesh) else where.addressable_devices)


def _shard_bytes(leaf: jax.ShapeDtypeStruct) -> int:
    shape = leaf.shape if leaf.sharding is None else leaf.sharding.shard_shape(leaf.shape)
    return math.prod(shape) * leaf.dtype.itemsize
