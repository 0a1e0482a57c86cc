"""A sparse dictionary (SAE or transcoder) in the one canonical form.

    encode(x) = activation(norm(x) W_enc + b_enc)
    decode(f, x) = restore(f W_dec + b_dec, x) + x W_skip

`norm` and `restore` are the identity unless the configuration names an input norm, and W_skip is there in skip
transcoders alone. Whatever else a published format folds in or out (subtracting b_dec from the input, scales of the
training data, decoder norms) is folded into these arrays by the port that reads it, exactly, so the engine has one
definition. With a leading axis P on every array the same module is a stack over the layers named in `layers`.

Shapes: P dictionaries, D the stream read, F features, O the stream written (O = D for an SAE). A dictionary that
reads `head_out` reads the heads side by side: D = H K.
Cost: a full encode is 2 D F operations a token; one elementwise feature is 2 D.
"""

import dataclasses
from collections.abc import Iterator
from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from causeway.engine.arrays import AnyArray
from causeway.engine.dictionary import activations
from causeway.engine.dictionary.config import DictionaryConfig
from causeway.engine.dictionary.in_memory import InMemoryArrays
from causeway.engine.dictionary.input_norm import normalise, restore
from causeway.engine.dictionary.largest import places_along_model
from causeway.engine.dictionary.matching_pursuit import matching_pursuit
from causeway.kernels.encode_top_k import encode_top_k

__all__ = ["Dictionary", "DictionaryConfig", "stack", "take"]

PARAMETERS: dict[activations.Kind, tuple[str, ...]] = {
    "jumprelu": ("threshold",), "gated": ("log_scale", "gate_bias", "magnitude_bias"),
}  # fmt: skip
OPTIONAL = ("threshold", "log_scale", "gate_bias", "magnitude_bias", "W_skip")
ARRAYS = ("W_enc", "b_enc", "W_dec", "b_dec", *OPTIONAL)


class Dictionary(InMemoryArrays):
    """Arrays of a dictionary or of a stack of them.

    Attributes:
        W_enc: [P, D, F]; for matching_pursuit the transpose of W_dec, which is what it encodes with.
        b_enc: [P, F] (zero for gated and matching_pursuit).
        W_dec: [P, F, O].
        b_dec: [P, O].
        threshold: [P, F], jumprelu only.
        log_scale: [P, F], gated only; so the next two.
        gate_bias: [P, F].
        magnitude_bias: [P, F].
        W_skip: [P, D, O], or absent.
        crosses: whether features write to layers above their own.
    """

    crosses: ClassVar[bool] = False

    def __init__(
        self,
        config: DictionaryConfig,
        *,
        W_enc: Array,
        b_enc: Array,
        W_dec: Array,
        b_dec: Array,
        threshold: Array | None = None,
        log_scale: Array | None = None,
        gate_bias: Array | None = None,
        magnitude_bias: Array | None = None,
        W_skip: Array | None = None,
    ):
        given = dict(zip(OPTIONAL, (threshold, log_scale, gate_bias, magnitude_bias, W_skip), strict=True))
        _check_parameters(config, {name for name, array in given.items() if array is not None} - {"W_skip"})
        if config.kind == "groupmax" and b_enc.shape[-1] % config.k:
            raise ValueError(f"Dictionary: {b_enc.shape[-1]} features do not make {config.k} groups of one size")
        self.config = config
        self.W_enc, self.b_enc = nnx.Param(W_enc), nnx.Param(b_enc)
        self.W_dec, self.b_dec = nnx.Param(W_dec), nnx.Param(b_dec)
        if W_skip is not None:
            self.W_skip = nnx.Param(W_skip)
        for name in PARAMETERS.get(config.kind, ()):
            setattr(self, name, nnx.Param(given[name]))

    def __len__(self) -> int:
        """How many layers are stacked."""
        return len(self.config.layers)

    def __getitem__(self, layer: int) -> "Dictionary":
        """The dictionary of a model layer, as `layer` gives it."""
        return self.layer(layer)

    def __iter__(self) -> Iterator[tuple[int, "Dictionary"]]:
        """(layer, dictionary) of a stack, in its order."""
        return ((layer, self.layer(layer)) for layer in self.config.layers)

    def layer(self, layer: int) -> "Dictionary":
        """The dictionary of a model layer out of a stack, by itself: what `encode` and `decode` are for.

        Raises:
            ValueError: this is no stack, or no dictionary in it belongs to the layer.
        """
        if not self.stacked:
            raise ValueError(f"layer: this is one dictionary (of layer {self.config.layers[0]}) and no stack")
        one = take(self, self.config.index_of(layer))
        one.config = dataclasses.replace(self.config, layers=(layer,))
        return one

    def stack_of(self, *layers: int) -> "Dictionary":
        """A stack in memory that has the layers."""
        return self

    def arrays_at(self, layer: int) -> dict[str, Array]:
        """The arrays of a model layer by name, without the axis of layers.

        Raises:
            ValueError: no dictionary belongs to the layer.
        """
        place = self.config.index_of(layer)
        arrays = {name: getattr(self, name)[...] for name in ARRAYS if hasattr(self, name)}
        return {name: array[place] for name, array in arrays.items()} if self.stacked else arrays

    def targets(self, layer: int) -> tuple[int, ...]:
        """The layers that features of a layer write to: their own."""
        return (layer,)

    @property
    def stacked(self) -> bool:
        """Whether its arrays have a leading axis of layers."""
        return self.b_enc[...].ndim > 1

    def elementwise_parameters(self) -> tuple[Array, ...]:
        """Per-feature arrays beside the bias that the activation reads, each [..., F]."""
        return tuple(getattr(self, name)[...] for name in PARAMETERS.get(self.config.kind, ()))

    def at(self, layer: int | Array) -> "Dictionary":
        """The dictionary of a model layer, which may be traced, unstacked.

        Raises:
            ValueError: no dictionary belongs to the layer.
        """
        return take(self, self.config.place(layer)) if self.stacked else self

    def encode_at(self, layer: int | Array, x: Float[Array, "*rows D"]) -> Float[Array, "*rows F"]:
        """All feature values of a model layer, which may be traced, in x's dtype.

        Raises:
            ValueError: no dictionary belongs to the layer, or x is not as wide as what the dictionary reads.
        """
        return self.at(layer).encode(x)

    def strongest_at(
        self, layer: int | Array, x: Float[Array, "*rows D"], k: int
    ) -> tuple[Float[Array, "*rows k"], Int[Array, "*rows k"]]:
        """Values and ids of the k strongest features of a model layer, which may be traced, largest value first.

        Raises:
            ValueError: see `encode_at`; or k is more than the features.
        """
        if self.config.ranked or places_along_model() > 1:
            return super().strongest_at(layer, x, k)
        one = self.at(layer)
        one._check_rows("strongest_at", "x", x, self.d_in)
        rows = normalise(self.config.input_norm, x).reshape(-1, self.d_in)
        found = encode_top_k(
            rows, one.W_enc[...], one.b_enc[...], one.elementwise_parameters(),
            activation=activations.ELEMENTWISE[self.config.kind], k=k,
        )  # fmt: skip
        values, ids = (each.reshape(*x.shape[:-1], k) for each in found)
        return values, ids

    def rows(self, place: int | Int[AnyArray, "*#rows"], feature: Int[AnyArray, "*#rows"]) -> Float[Array, "*rows O"]:
        """What a unit of each chosen feature writes; `place` is the position in the stack."""
        return self.W_dec[...][place, feature]

    def write_at(self, layer: int | Array, f: Float[Array, "*rows F"]) -> Float[Array, "*rows O"]:
        """What features of a model layer, which may be traced, write: f W_dec, in f's dtype."""
        return f @ self.at(layer).W_dec[...].astype(f.dtype)

    def decoder_at(self, layer: int, target: int) -> Float[Array, "F O"]:
        """What a unit of every feature of a layer writes to a layer among its `targets`."""
        return self.W_dec[...][self.config.index_of(layer)]

    def encode(self, x: Float[Array, "*rows D"]) -> Float[Array, "*rows F"]:
        """All feature values of one dictionary (`layer` takes it out of a stack), in x's dtype.

        Raises:
            ValueError: this is a stack, or x is not as wide as what the dictionary reads.
        """
        self._check_rows("encode", "x", x, self.d_in)
        config, x = self.config, normalise(self.config.input_norm, x)
        if config.kind == "matching_pursuit":
            centred, directions = x - self.b_dec[...].astype(x.dtype), self.W_dec[...].astype(x.dtype)
            return matching_pursuit(centred, directions, config.k, config.residual_threshold, config.stop_on_duplicate)
        p = x @ self.W_enc[...].astype(x.dtype) + self.b_enc[...].astype(x.dtype)
        if config.ranked:
            return activations.ranked(config.kind, p, config.k)
        return activations.elementwise(config.kind, p, self.elementwise_parameters())

    def decode(self, f: Float[Array, "*rows F"], x: Float[Array, "*rows D"] | None = None) -> Float[Array, "*rows O"]:
        """Reconstruction from feature values, in f's dtype.

        Args:
            f: feature values.
            x: the input they were encoded from; needed where the output depends on it directly.

        Raises:
            ValueError: this is a stack, values that are not as many as its features, or no x, but the dictionary has a
                skip connection or undoes a norm of its input.
        """
        self._check_rows("decode", "f", f, self.num_features)
        y = f @ self.W_dec[...].astype(f.dtype) + self.b_dec[...].astype(f.dtype)
        skips, restores = hasattr(self, "W_skip"), self.config.restores
        if not (skips or restores):
            return y
        if x is None:
            what = "a skip connection" if skips else f"the {self.config.input_norm} of its input to undo"
            raise ValueError(f"decode: x is missing; the dictionary has {what}, so pass the input it encoded")
        y = restore(self.config.input_norm, y, x) if restores else y
        return y + x @ self.W_skip[...].astype(x.dtype) if skips else y

    def reconstruct(self, x: Float[Array, "*rows D"]) -> Float[Array, "*rows O"]:
        """What the dictionary makes of an input, in x's dtype."""
        return self.decode(self.encode(x), x)

    def _check_rows(self, name: str, argument: str, values: Array, width: int) -> None:
        if self.stacked:
            raise ValueError(
                f"{name}: this is a stack of layers {self.config.layers}; take one, dictionary.layer(LAYER).{name}(...)"
            )
        if values.shape[-1:] != (width,):
            raise ValueError(f"{name}: {argument} has shape {values.shape}; needs [..., {width}]")


def take(dictionary: Dictionary, index: int | Array) -> Dictionary:
    """One dictionary out of a stack; `index` is the position in the stack and may be traced."""
    return jax.tree.map(lambda leaf: leaf[index], dictionary)


def stack(dictionaries: list[Dictionary]) -> Dictionary:
    """Stack single-layer dictionaries ([D, F] arrays) of one shape and kind into one module.

    Raises:
        ValueError: the dictionaries differ in configuration, arrays or shape.
    """
    first = dictionaries[0]
    for other in dictionaries[1:]:
        a, b = dataclasses.replace(first.config, layers=()), dataclasses.replace(other.config, layers=())
        if a != b or _shapes(first) != _shapes(other):
            raise ValueError(
                f"dictionaries of layers {first.config.layers} and {other.config.layers} differ: "
                f"{a} {_shapes(first)} against {b} {_shapes(other)}; stack only like with like"
            )
    layers = tuple(layer for d in dictionaries for layer in d.config.layers)
    config = dataclasses.replace(first.config, layers=layers)
    arrays = {n: jnp.stack([getattr(d, n)[...] for d in dictionaries]) for n in _shapes(first)}
    return Dictionary(config, **arrays)


def _shapes(dictionary: Dictionary) -> dict[str, tuple[int, ...]]:
    return {name: getattr(dictionary, name)[...].shape for name in ARRAYS if hasattr(dictionary, name)}


def _check_parameters(config: DictionaryConfig, given: set[str]) -> None:
    needed = set(PARAMETERS.get(config.kind, ()))
    if given != needed:
        raise ValueError(
            f"Dictionary: kind {config.kind!r} has the arrays {sorted(needed) or 'W_enc, b_enc, W_dec, b_dec'} "
            f"beside the matrices; got {sorted(given) or 'none'}"
        )
