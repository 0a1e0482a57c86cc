"""Published tensors into a Transformer and back, driven by a name map.

A family states, once, a list of `TensorMap`: which tensor of the published layout is which parameter of which layer,
in which orientation. Everything else is here and the same for all families: it fails closed (a tensor that is
missing, unused, wrong-shaped or not finite is an error that names file and tensor), it never draws a random weight,
and each tensor goes from its file straight into the memory of the parameter's shard on its device, stacked over
layers and already in the storage dtype; a shard reads only its own part of the file.

Several parameters may share one published tensor (GPT-2's `c_attn` holds query, key and value side by side): each
names its `Part`, and the parts named have to make up the whole tensor. And several tensors may make up one parameter:
maps name its pieces (`engine.model.joined_heads`), each of which is written into its own entries of the one array.

Host memory beyond the finished model: on CPU the mapped pages of one tensor; elsewhere also one block of a parameter.
"""

import dataclasses
import math
from collections.abc import Collection, Iterable, Mapping
from typing import ClassVar

import jax
import numpy as np

from causeway.engine.filled_array import Index, filled_array
from causeway.engine.model.capacity import check_fits
from causeway.engine.model.config import ModelConfig, Numerics
from causeway.engine.model.joined_heads import pieces_of
from causeway.engine.model.placement import Where, parameter_name, place_abstract
from causeway.engine.model.quantised import Quantised, is_quantised, weight_name
from causeway.engine.model.quantised_fill import filled_weight
from causeway.engine.model.transformer import Transformer, abstract_transformer
from causeway.engine.model.unrolled import joined
from causeway.engine.progress import Step
from causeway.ports.files.safetensors_files import TensorFile
from causeway.ports.files.tensor_checks import check_tensors, listed, read_finite, to_stored


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
class Span:
    """Entries [start, stop) of an axis of a published tensor (Phi-3's qkv_proj)."""

    axis: int
    start: int
    stop: int
    width: ClassVar[int] = 0

    def of(self, published: np.ndarray) -> np.ndarray:
        """The entries as a view."""
        return published[(slice(None),) * self.axis + (slice(self.start, self.stop),)]


@dataclasses.dataclass(frozen=True)
class TensorMap:
    """One tensor of a published layout, or one a layer.

    Attributes:
        tensor: its name; `{layer}` in it stands for 0..L-1.
        parameter: dotted path of the parameter in `Transformer`, or of a piece of it.
        shape: its published shape.
        transposed: the published matrix is [out, in] (a linear map's weight) and the parameter [in, out]. Either
            way the result is reshaped to the parameter, which splits the head axis from the width axis.
        part: the piece of the tensor that the parameter is; None for all of it.
    """

    tensor: str
    parameter: str
    shape: tuple[int, ...]
    transposed: bool = False
    part: Part | Span | None = None

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
    config: ModelConfig,
    numerics: Numerics,
    tensors: Mapping[str, TensorFile],
    name_map: Iterable[TensorMap],
    where: Where = None,
) -> Transformer:
    """A transformer whose parameters are the tensors named by the map.

    Args:
        config, numerics: of the model. tensors: what the files hold. name_map: which tensor is which parameter.
        where: the sharding of its parameters, see `engine.model.placement`.

    Raises:
        ValueError: tensors are missing, unused, wrong-shaped or not finite, a parameter is mapped by nothing, or the
            weights are more than a device holds.
    """
    maps = {entry.parameter: entry for entry in name_map}
    _check(config, tensors, maps.values())
    check_fits(config, numerics, where)
    abstract = place_abstract(abstract_transformer(config, numerics), where)
    leaves = jax.tree_util.tree_leaves_with_path(abstract, is_leaf=is_quantised)
    named = [name for path, leaf in leaves for name in pieces_of(weight_name(path, leaf))]
    if unmapped := [name for name in named if name not in maps]:
        raise ValueError(f"name map: nothing fills {listed(unmapped)}; the family's map is incomplete")

    def fill(path: tuple, leaf: jax.ShapeDtypeStruct | Quantised) -> jax.Array | Quantised:
        shape = leaf.shape

        def read(target: np.ndarray, index: Index) -> None:
            for name, share in pieces_of(weight_name(path, leaf)).items():
                found = [tensors[published] for published in maps[name].names(config)]
                _read_part(found, maps[name], *_own_part(shape, share, target, index))

        step.advance(_bytes_of(leaf))
        if isinstance(leaf, Quantised):
            return filled_weight(leaf, read)
        return filled_array(shape, leaf.dtype, leaf.sharding, read)

    with Step("weights read", sum(_bytes_of(leaf) for _, leaf in leaves), "B") as step:
        return jax.tree_util.tree_map_with_path(fill, abstract, is_leaf=is_quantised)


def _bytes_of(leaf: jax.ShapeDtypeStruct | Quantised) -> int:
    return math.prod(leaf.shape) * (1 if isinstance(leaf, Quantised) else leaf.dtype.itemsize)


def export_tensors(transformer: Transformer, name_map: Iterable[TensorMap], dtype: str) -> dict[str, np.ndarray]:
    """The published tensors of a transformer, cast to a stored dtype.

    Raises:
        ValueError: unknown dtype, or a value that is not finite in it.
    """
    pieces = {
        name: (leaf, share)
        for path, leaf in jax.tree_util.tree_leaves_with_path(joined(transformer))
        for name, share in pieces_of(parameter_name(path)).items()
    }
    out: dict[str, np.ndarray] = {}
    for entry in name_map:
        leaf, share = pieces[entry.parameter]
        stacked = np.asarray(leaf) if share is None else np.asarray(leaf)[..., share, :]
        for layer, name in enumerate(entry.names(transformer.config)):
            values = to_stored(stacked[layer] if entry.layered else stacked, name, dtype)
            published = out.setdefault(name, np.empty(entry.shape, values.dtype))
            entry.view(published, values.shape)[...] = values
    return out


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
        if not _are_whole(parts, entries[0].shape) or len({entry.shape for entry in entries}) > 1:
            names = listed([entry.parameter for entry in entries])
            raise ValueError(f"name map: {names} do not make up {tensor} exactly; the family's map is wrong")


def _are_whole(parts: list[Part | Span], shape: tuple[int, ...]) -> bool:
    """Whether parts of one tensor are all of it, each once."""
    first, pieces = parts[0], [part for part in parts if isinstance(part, Part)]
    if isinstance(first, Part):
        whole = {dataclasses.replace(first, index=index) for index in range(first.count)}
        return set(pieces) == whole and len(parts) == len(whole)
    spans = sorted((part.start, part.stop) for part in parts if isinstance(part, Span) and part.axis == first.axis)
    ends = [0, *(stop for _, stop in spans)]
    return len(spans) == len(parts) and ends == [*(start for start, _ in spans), shape[first.axis]]


def _own_part(
    shape: tuple[int, ...], share: slice | None, target: np.ndarray, index: Index
) -> tuple[tuple[int, ...], np.ndarray, Index]:
    """What of part `index` of a parameter of that shape is a piece's: the piece's shape, and memory and index in it."""
    if share is None:
        return shape, target, index
    begin, end, _ = share.indices(shape[-2])
    start, stop = (min(max(bound, begin), end) for bound in (index[-2].start, index[-2].stop))
    offset = index[-2].start
    own = (*index[:-2], slice(start - begin, stop - begin), index[-1])
    return (*shape[:-2], end - begin, shape[-1]), target[..., start - offset : stop - offset, :], own


def _read_part(
    tensors: list[TensorFile], entry: TensorMap, shape: tuple[int, ...], target: np.ndarray, index: Index
) -> None:
    """Part `index` of a parameter of that shape into memory, tensor by tensor."""
    if entry.layered:
        layers, shape, index, targets = tensors[index[0]], shape[1:], index[1:], list(target)
    else:
        layers, targets = tensors, [target]
    for tensor, part in zip(layers, targets, strict=True):
        if not tensor.copy_into(part, lambda published: entry.view(published, shape)[index]):
            read_finite(tensor, part.dtype)  # counts the values that are not finite, for the error line
