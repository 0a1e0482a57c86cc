"""Published tensors into a Transformer and back, driven by a name map.

A family states, once, a list of `TensorMap`: which tensor of the published layout is which parameter of which layer,
in which orientation. Everything else is here and the same for all families: it fails closed (a tensor that is
missing, unused, wrong-shaped or not finite is an error that names file and tensor), it never draws a random weight,
and it reads one tensor at a time into one parameter's array, stacked over layers and already in the storage dtype.

Several parameters may share one published tensor (GPT-2's `c_attn` holds query, key and value side by side): each
names its `Part`, and the parts named have to make up the whole tensor.

Host memory beyond the finished model: one parameter (all layers of it) plus one tensor.
"""

import dataclasses
from collections.abc import Collection, Iterable, Mapping

import jax
import jax.numpy as jnp
import numpy as np

from causeway.engine.model.config import ModelConfig, Numerics
from causeway.engine.model.transformer import Transformer, abstract_transformer
from causeway.ports.safetensors_files import TensorFile
from causeway.ports.tensor_checks import check_tensors, listed, read_finite, to_stored


@dataclasses.dataclass(frozen=True)
class Part:
    """One of several equal pieces of a published tensor.

    The axis is seen as [groups, count, width] and the part is `[:, index]` of it.

    Attributes:
        axis: of the published tensor. index: which piece. count: pieces in all.
        width: 0 where the pieces lie one after the other (GPT-2's c_attn [D, 3 D]); K where they alternate in every
            head (GPT-NeoX's query_key_value [H 3 K, D]).
    """

    axis: int
    index: int
    count: int
    width: int = 0

    def of(self, published: np.ndarray) -> np.ndarray:
        """The piece as a view, its axis split in [groups, width] where the pieces alternate."""
        before, after = published.shape[: self.axis], published.shape[self.axis + 1 :]
        width = self.width or published.shape[self.axis] // self.count
        split = published.reshape(*before, -1, self.count, width, *after, copy=False)
        piece = split[(slice(None),) * (self.axis + 1) + (self.index,)]
        return piece if self.width else piece.squeeze(self.axis)


@dataclasses.dataclass(frozen=True)
class TensorMap:
    """One tensor of a published layout, or one a layer.

    Attributes:
        tensor: its name; `{layer}` in it stands for 0..L-1.
        parameter: dotted path of the parameter in `Transformer`.
        shape: its published shape.
        transposed: the published matrix is [out, in] (a linear map's weight) and the parameter [in, out]. Either
            way the result is reshaped to the parameter, which splits the head axis from the width axis.
        part: the piece of the tensor that the parameter is; None for all of it.
    """

    tensor: str
    parameter: str
    shape: tuple[int, ...]
    transposed: bool = False
    part: Part | None = None

    @property
    def layered(self) -> bool:
        """Whether there is one tensor a layer."""
        return "{layer}" in self.tensor

    def names(self, config: ModelConfig) -> list[str]:
        """The published names, in layer order."""
        layers = range(config.num_layers) if self.layered else (0,)
        return [self.tensor.format(layer=layer) for layer in layers]

    def view(self, published: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """One published tensor as the parameter of that shape: nothing is copied, so writing to it writes there."""
        piece = published if self.part is None else self.part.of(published)
        if self.transposed:
            # One of the two published axes may be split in two; the two stay together and in order.
            second_is_split = self.part is not None and self.part.width and self.part.axis == 1
            piece = np.moveaxis(piece, 0, -1) if second_is_split else np.moveaxis(piece, -1, 0)
        return piece.reshape(shape, copy=False)


def load_transformer(
    config: ModelConfig, numerics: Numerics, tensors: Mapping[str, TensorFile], name_map: Iterable[TensorMap]
) -> Transformer:
    """A transformer whose parameters are the tensors named by the map.

    Raises:
        ValueError: tensors are missing, unused, wrong-shaped or not finite, or a parameter is mapped by nothing.
    """
    maps = {entry.parameter: entry for entry in name_map}
    _check(config, tensors, maps.values())

    def fill(path: tuple, leaf: jax.ShapeDtypeStruct) -> jax.Array:
        parameter = _parameter_name(path)
        if parameter not in maps:
            raise ValueError(f"name map: nothing fills the parameter {parameter}; the family's map is incomplete")
        return _read_parameter(config, leaf, tensors, maps[parameter])

    return jax.tree_util.tree_map_with_path(fill, abstract_transformer(config, numerics))


def export_tensors(transformer: Transformer, name_map: Iterable[TensorMap], dtype: str) -> dict[str, np.ndarray]:
    """The published tensors of a transformer, cast to a stored dtype.

    Raises:
        ValueError: unknown dtype, or a value that is not finite in it.
    """
    leaves = {_parameter_name(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(transformer)}
    out: dict[str, np.ndarray] = {}
    for entry in name_map:
        stacked = np.asarray(leaves[entry.parameter])
        for layer, name in enumerate(entry.names(transformer.config)):
            values = to_stored(stacked[layer] if entry.layered else stacked, name, dtype)
            published = out.setdefault(name, np.empty(entry.shape, values.dtype))
            entry.view(published, values.shape)[...] = values
    return out


def _parameter_name(path: tuple) -> str:
    """`blocks.attention.query` for a leaf's key path; the last key is the Param's own `value`."""
    return ".".join(str(key.name) for key in path[:-1])


def _check(config: ModelConfig, tensors: Mapping[str, TensorFile], maps: Collection[TensorMap]) -> None:
    _check_parts(maps)
    shapes = {name: entry.shape for entry in maps for name in entry.names(config)}
    check_tensors(tensors, shapes, f"a {config.family} of {config.num_layers} layers")


def _check_parts(maps: Iterable[TensorMap]) -> None:
    """That the parts named of every tensor are the whole of it, each once."""
    by_tensor: dict[str, list[TensorMap]] = {}
    for entry in maps:
        by_tensor.setdefault(entry.tensor, []).append(entry)
    for tensor, entries in by_tensor.items():
        parts = [entry.part or Part(0, 0, 1) for entry in entries]
        whole = {dataclasses.replace(parts[0], index=index) for index in range(parts[0].count)}
        if set(parts) != whole or len(parts) != len(whole) or len({entry.shape for entry in entries}) > 1:
            names = listed([entry.parameter for entry in entries])
            raise ValueError(f"name map: {names} do not make up {tensor} exactly; the family's map is wrong")


def _read_parameter(
    config: ModelConfig, leaf: jax.ShapeDtypeStruct, tensors: Mapping[str, TensorFile], entry: TensorMap
) -> jax.Array:
    """One parameter, all layers: read, turned, cast and checked tensor by tensor."""
    out = np.empty(leaf.shape, leaf.dtype)
    for layer, name in enumerate(entry.names(config)):
        target = out[layer] if entry.layered else out
        target[...] = entry.view(read_finite(tensors[name], leaf.dtype), target.shape)
    return jnp.asarray(out)
