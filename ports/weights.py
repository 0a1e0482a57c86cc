"""Published tensors into a Transformer and back, driven by a name map.

A family states, once, a list of `TensorMap`: which tensor of the published layout is which parameter of which layer,
in which orientation. Everything else is here and the same for all families: it fails closed (a tensor that is
missing, unused, wrong-shaped or not finite is an error that names file and tensor), it never draws a random weight,
and it reads one tensor at a time into one parameter's array, stacked over layers and already in the storage dtype.

Host memory beyond the finished model: one parameter (all layers of it) plus one tensor.
"""

import dataclasses
from collections.abc import Iterable, Mapping

import jax
import jax.numpy as jnp
import numpy as np

from causeway.engine.model.config import ModelConfig, Numerics
from causeway.engine.model.transformer import Transformer, abstract_transformer
from causeway.ports.safetensors_files import TensorFile
from causeway.ports.tensor_checks import check_tensors, read_finite, to_stored


@dataclasses.dataclass(frozen=True)
class TensorMap:
    """One tensor of a published layout, or one a layer.

    Attributes:
        tensor: its name; `{layer}` in it stands for 0..L-1.
        parameter: dotted path of the parameter in `Transformer`.
        shape: its published shape.
        transposed: the published matrix is [out, in] (a linear map's weight) and the parameter [in, out]. Either
            way the result is reshaped to the parameter, which splits the head axis from the width axis.
    """

    tensor: str
    parameter: str
    shape: tuple[int, ...]
    transposed: bool = False

    @property
    def layered(self) -> bool:
        """Whether there is one tensor a layer."""
        return "{layer}" in self.tensor

    def names(self, config: ModelConfig) -> list[str]:
        """The published names, in layer order."""
        layers = range(config.num_layers) if self.layered else (0,)
        return [self.tensor.format(layer=layer) for layer in layers]


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
            out[name] = _to_published(stacked[layer] if entry.layered else stacked, entry, name, dtype)
    return out


def _parameter_name(path: tuple) -> str:
    """`blocks.attention.query` for a leaf's key path; the last key is the Param's own `value`."""
    return ".".join(str(key.name) for key in path[:-1])


def _check(config: ModelConfig, tensors: Mapping[str, TensorFile], maps: Iterable[TensorMap]) -> None:
    shapes = {name: entry.shape for entry in maps for name in entry.names(config)}
    check_tensors(tensors, shapes, f"a {config.family} of {config.num_layers} layers")


def _read_parameter(
    config: ModelConfig, leaf: jax.ShapeDtypeStruct, tensors: Mapping[str, TensorFile], entry: TensorMap
) -> jax.Array:
    """One parameter, all layers: read, turned, cast and checked tensor by tensor."""
    out = np.empty(leaf.shape, leaf.dtype)
    for layer, name in enumerate(entry.names(config)):
        target = out[layer] if entry.layered else out
        values = read_finite(tensors[name], leaf.dtype)
        target[...] = (values.T if entry.transposed else values).reshape(target.shape)
    return jnp.asarray(out)


def _to_published(values: np.ndarray, entry: TensorMap, name: str, dtype: str) -> np.ndarray:
    if entry.transposed:
        values = values.reshape(entry.shape[::-1]).T
    return to_stored(values.reshape(entry.shape), name, dtype)
