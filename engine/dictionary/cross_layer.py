"""Cross-layer transcoders: features of layer l write to layer l and to every layer above it.

    f_l = activation(x_l W_enc_l + b_enc_l)
    y_m = b_dec_m + sum_{l <= m} f_l W_dec_l[:, m - l] + x_m W_skip_m

x_l is the stream read at layer l (the MLP's input, usually) and y_m the reconstruction of the stream written at layer
m (the MLP's output).

Shapes: L layers, D the stream read, F features a layer, O the stream written. Decoders have another number of layers
each and are kept as they are, W_dec_l [F, L - l, O], never padded to L: that would double the memory.
Cost: 2 D F L operations a token to encode, F O L (L + 1) to decode.
"""

from functools import partial
from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from causeway.engine.arrays import AnyArray
from causeway.engine.dictionary import activations
from causeway.engine.dictionary.config import DictionaryConfig
from causeway.engine.dictionary.in_memory import InMemoryArrays

KINDS = ("relu", "jumprelu", "topk", "topk_signed", "abstopk")


class CrossLayerTranscoder(InMemoryArrays):
    """Arrays of all layers.

    Attributes:
        W_enc: [L, D, F].
        b_enc: [L, F].
        threshold: [L, F], jumprelu only.
        W_dec: one a layer, [F, L - l, O]; [:, j] writes to layer l + j.
        b_dec: [L, O].
        W_skip: [L, D, O], or absent.
        crosses: whether features write to layers above their own.
    """

    crosses: ClassVar[bool] = True

    def __init__(
        self,
        config: DictionaryConfig,
        *,
        W_enc: Array,
        b_enc: Array,
        W_dec: tuple[Array, ...],
        b_dec: Array,
        threshold: Array | None = None,
        W_skip: Array | None = None,
    ):
        _check(config, b_enc, W_dec, threshold)
        self.config = config
        self.W_enc, self.b_enc, self.b_dec = nnx.Param(W_enc), nnx.Param(b_enc), nnx.Param(b_dec)
        self.W_dec = nnx.List([nnx.Param(array) for array in W_dec])
        if threshold is not None:
            self.threshold = nnx.Param(threshold)
        if W_skip is not None:
            self.W_skip = nnx.Param(W_skip)

    @property
    def num_layers(self) -> int:
        """L."""
        return len(self.config.layers)

    def arrays_at(self, layer: int) -> dict[str, Array]:
        """The arrays of a layer by name, without the axis of layers; W_dec is [F, L - l, O].

        Raises:
            ValueError: there is no such layer.
        """
        place = self.config.index_of(layer)
        names = [name for name in ("W_enc", "b_enc", "b_dec", "threshold", "W_skip") if hasattr(self, name)]
        return {name: getattr(self, name)[...][place] for name in names} | {"W_dec": self.W_dec[place][...]}

    def targets(self, layer: int) -> tuple[int, ...]:
        """The layers that features of a layer write to: their own and those above."""
        return tuple(range(layer, self.num_layers))

    def elementwise_parameters(self) -> tuple[Array, ...]:
        """Per-feature arrays beside the bias that the activation reads, each [L, F]."""
        return (self.threshold[...],) if hasattr(self, "threshold") else ()

    def encode_at(self, layer: int | Array, x: Float[Array, "*rows D"]) -> Float[Array, "*rows F"]:
        """`encode`, under the name that all holders of dictionaries have for it.

        Raises:
            ValueError: there is no such layer, or x is not as wide as what the transcoder reads.
        """
        return self.encode(self.config.place(layer), x)

    def rows(self, place: int | Int[AnyArray, "*#rows"], feature: Int[AnyArray, "*#rows"]) -> Float[Array, "L *rows O"]:
        """What a unit of each chosen feature writes to every layer; zeros below its own."""
        place, feature = jnp.broadcast_arrays(place, feature)
        out = jnp.zeros((self.num_layers, *feature.shape, self.d_out), self.b_dec[...].dtype)
        for own in range(self.num_layers):
            written = jnp.moveaxis(self.W_dec[own][...][feature], -2, 0)
            out = out.at[own:].add(jnp.where((place == own)[None, ..., None], written, 0))
        return out

    def write_at(self, layer: int | Array, f: Float[Array, "*rows F"]) -> Float[Array, "L *rows O"]:
        """What features of a layer, which may be traced, write to every layer, in f's dtype; zeros below their own."""

        def written(own: int, f: Array) -> Array:
            above = jnp.einsum("...f,fjo->j...o", f, self.W_dec[own][...].astype(f.dtype))
            return jnp.concatenate([jnp.zeros((own, *above.shape[1:]), above.dtype), above])

        return jax.lax.switch(layer, [partial(written, own) for own in range(self.num_layers)], f)

    def decoder_at(self, layer: int, target: int) -> Float[Array, "F O"]:
        """What a unit of every feature of a layer writes to a layer among its `targets`."""
        return self.W_dec[self.config.index_of(int(layer))][...][:, target - layer]

    def encode(self, layer: int | Array, x: Float[Array, "*rows D"]) -> Float[Array, "*rows F"]:
        """Feature values of one layer, which may be traced, in x's dtype.

        Raises:
            ValueError: x is not as wide as what the transcoder reads.
        """
        if x.shape[-1:] != (self.d_in,):
            raise ValueError(f"encode: x has shape {x.shape}; needs [..., {self.d_in}]")
        p = x @ self.W_enc[...][layer].astype(x.dtype) + self.b_enc[...][layer].astype(x.dtype)
        if self.config.ranked:
            return activations.ranked(self.config.kind, p, self.config.k)
        return activations.elementwise(self.config.kind, p, tuple(a[layer] for a in self.elementwise_parameters()))

    def encode_all(self, x: Float[Array, "L *rows D"]) -> Float[Array, "L *rows F"]:
        """Feature values of all layers, one after another: the temporaries are those of one."""
        return jax.lax.map(lambda pair: self.encode(*pair), (jnp.arange(self.num_layers), x))

    def decode(
        self, f: Float[Array, "L *rows F"], x: Float[Array, "L *rows D"] | None = None
    ) -> Float[Array, "L *rows O"]:
        """Reconstructions of all layers, in f's dtype.

        Raises:
            ValueError: no x, but the transcoder has skip connections.
        """
        out = [self.decode_layer(layer, f) for layer in range(self.num_layers)]
        if not hasattr(self, "W_skip"):
            return jnp.stack(out)
        if x is None:
            raise ValueError("decode: x is missing; the transcoder has skip connections, so pass the inputs it encoded")
        return jnp.stack(out) + jnp.einsum("l...d,ldo->l...o", x, self.W_skip[...].astype(x.dtype))

    def decode_layer(self, layer: int, f: Float[Array, "L *rows F"]) -> Float[Array, "*rows O"]:
        """What the features of this layer and those below write to it, with its bias and without its skip."""
        y = self.b_dec[...][layer].astype(f.dtype)
        for source in range(layer + 1):
            y = y + f[source] @ self.W_dec[source][...][:, layer - source].astype(f.dtype)
        return y

    def reconstruct(self, x: Float[Array, "L *rows D"]) -> Float[Array, "L *rows O"]:
        """What the transcoder makes of the inputs of all layers."""
        return self.decode(self.encode_all(x), x)


def _check(config: DictionaryConfig, b_enc: Array, W_dec: tuple[Array, ...], threshold: Array | None) -> None:
    count = len(b_enc)
    if config.kind not in KINDS or config.input_norm != "none":
        raise ValueError(
            f"CrossLayerTranscoder: got kind {config.kind!r} with input_norm {config.input_norm!r}; "
            f"needs one of {', '.join(KINDS)} without a norm"
        )
    if config.layers != tuple(range(count)):
        raise ValueError(f"CrossLayerTranscoder: got layers {config.layers}; needs 0..{count - 1}, all in order")
    if (threshold is not None) != (config.kind == "jumprelu"):
        raise ValueError(
            f"CrossLayerTranscoder: got kind {config.kind!r} with{'out' * (threshold is None)} thresholds; "
            "jumprelu needs them, and no other kind has any"
        )
    written = [array.shape[1] for array in W_dec]
    if written != list(range(count, 0, -1)):
        raise ValueError(
            f"CrossLayerTranscoder: decoders write to {written} layers; layer l of {count} writes to {count} - l"
        )
