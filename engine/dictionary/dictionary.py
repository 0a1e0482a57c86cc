"""A sparse dictionary (SAE) in the one canonical form.

    encode(x) = activation(x W_enc + b_enc)          decode(f) = f W_dec + b_dec

Whatever a published format folds in or out (subtracting b_dec from the input, activation norms, decoder norms) is
folded into these arrays by the port that reads it, exactly, so the engine has one definition. With a leading axis P
on every array the same module is a stack over the layers named in `layers`.

Shapes: P dictionaries, D the stream read, F features, O the stream written (O = D for an SAE).
Cost: a full encode is 2 D F operations a token; one elementwise feature is 2 D.
"""

import dataclasses

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from causeway.engine.arrays import AnyArray
from causeway.engine.dictionary import activations
from causeway.engine.dictionary.activations import RANKED, Kind


@dataclasses.dataclass(frozen=True)
class DictionaryConfig:
    """What a dictionary is: activation kind, the layers stacked, the stream read and written, and k for TopK."""

    kind: Kind
    layers: tuple[int, ...]
    stream: str = "resid_post"
    k: int = 0

    def __post_init__(self):
        if self.kind not in activations.KINDS:
            raise ValueError(f"DictionaryConfig.kind: got {self.kind!r}; needs one of {activations.KINDS}")
        if (self.kind == "topk") != (self.k > 0):
            raise ValueError(f"DictionaryConfig.k: got {self.k} for kind {self.kind!r}; k > 0 goes with topk alone")
        if len(set(self.layers)) != len(self.layers):
            raise ValueError(f"DictionaryConfig.layers: {self.layers} names a layer twice")

    @property
    def ranked(self) -> bool:
        """Whether one feature's value depends on all others."""
        return self.kind in RANKED

    def index_of(self, layer: int) -> int:
        """Position of a model layer in the stack.

        Raises:
            ValueError: no dictionary of the stack belongs to the layer.
        """
        if layer not in self.layers:
            raise ValueError(f"layer {layer} has no dictionary; the dictionaries loaded are for layers {self.layers}")
        return self.layers.index(layer)


class Dictionary(nnx.Module):
    """Arrays of a dictionary or of a stack of them.

    Attributes:
        W_enc: [P, D, F]. b_enc: [P, F] (zero for gated). W_dec: [P, F, O]. b_dec: [P, O].
        threshold: [P, F], jumprelu only.
        log_scale, gate_bias, magnitude_bias: [P, F], gated only.
    """

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
    ):
        self.config = config
        self.W_enc, self.b_enc = nnx.Param(W_enc), nnx.Param(b_enc)
        self.W_dec, self.b_dec = nnx.Param(W_dec), nnx.Param(b_dec)
        if config.kind == "jumprelu":
            self.threshold = nnx.Param(threshold)
        if config.kind == "gated":
            self.log_scale = nnx.Param(log_scale)
            self.gate_bias = nnx.Param(gate_bias)
            self.magnitude_bias = nnx.Param(magnitude_bias)

    @property
    def num_features(self) -> int:
        """F."""
        return self.b_enc[...].shape[-1]

    def elementwise_parameters(self) -> tuple[Array, ...]:
        """Per-feature arrays beside the bias that the activation reads, each [..., F]."""
        if self.config.kind == "jumprelu":
            return (self.threshold[...],)
        if self.config.kind == "gated":
            return (self.log_scale[...], self.gate_bias[...], self.magnitude_bias[...])
        return ()

    def encode(self, x: Float[Array, "*rows D"]) -> Float[Array, "*rows F"]:
        """All feature values of one (unstacked) dictionary, in x's dtype."""
        p = x @ self.W_enc[...].astype(x.dtype) + self.b_enc[...].astype(x.dtype)
        if self.config.kind == "topk":
            return activations.topk(p, self.config.k)
        return activations.elementwise(self.config.kind, p, self.elementwise_parameters())

    def decode(self, f: Float[Array, "*rows F"]) -> Float[Array, "*rows O"]:
        """Reconstruction from feature values."""
        return f @ self.W_dec[...].astype(f.dtype) + self.b_dec[...].astype(f.dtype)


class FeatureColumns(nnx.Module):
    """Single features taken out of a stack: what elementwise edits and selected recordings need, and no more.

    Attributes:
        encoder: [*rows, D] encoder columns. bias: [*rows]. parameters: tuple of [*rows] activation parameters.
        decoder: [*rows, O] decoder rows.
    """

    def __init__(self, dictionary: Dictionary, index: Int[AnyArray, "*rows"], feature: Int[AnyArray, "*rows"]):
        self.kind = dictionary.config.kind
        self.encoder = nnx.data(dictionary.W_enc[...][index, :, feature])
        self.decoder = nnx.data(dictionary.W_dec[...][index, feature])
        self.bias = nnx.data(dictionary.b_enc[...][index, feature])
        self.parameters = nnx.data(tuple(a[index, feature] for a in dictionary.elementwise_parameters()))


def take(dictionary: Dictionary, index: int | Array) -> Dictionary:
    """One dictionary out of a stack; `index` is the position in the stack and may be traced."""
    return jax.tree.map(lambda leaf: leaf[index], dictionary)


def stack(dictionaries: list[Dictionary]) -> Dictionary:
    """Stack single-layer dictionaries ([D, F] arrays) of one shape and kind into one module.

    Raises:
        ValueError: the dictionaries differ in kind, k, stream or shape.
    """
    first = dictionaries[0]
    for other in dictionaries[1:]:
        a, b = dataclasses.replace(first.config, layers=()), dataclasses.replace(other.config, layers=())
        if a != b or first.W_enc[...].shape != other.W_enc[...].shape:
            raise ValueError(
                f"dictionaries of layers {first.config.layers} and {other.config.layers} differ: "
                f"{a} {first.W_enc[...].shape} against {b} {other.W_enc[...].shape}; stack only like with like"
            )
    layers = tuple(layer for d in dictionaries for layer in d.config.layers)
    config = dataclasses.replace(first.config, layers=layers)
    names = ("W_enc", "b_enc", "W_dec", "b_dec", "threshold", "log_scale", "gate_bias", "magnitude_bias")
    arrays = {n: jnp.stack([getattr(d, n)[...] for d in dictionaries]) for n in names if hasattr(first, n)}
    return Dictionary(config, **arrays)
