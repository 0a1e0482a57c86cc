"""What a dictionary is, without its arrays."""

import dataclasses

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from causeway.engine.dictionary.activations import KINDS, RANKED, Kind
from causeway.engine.dictionary.input_norm import INPUT_NORMS, InputNorm


@dataclasses.dataclass(frozen=True)
class DictionaryConfig:
    """Activation kind, the layers stacked, and the streams read and written.

    Attributes:
        kind: one of `activations.KINDS`.
        layers: model layers, one a dictionary of the stack, each once.
        stream: the stream read.
        k: features kept (topk kinds), groups (groupmax), most iterations (matching_pursuit); 0 for other kinds.
        write_stream: the stream written in the same layer; "" means the stream read, which makes it an SAE.
        input_norm: what is done to each input before encoding (`input_norm`).
        residual_threshold, stop_on_duplicate: when matching_pursuit ends before k iterations.
    """

    kind: Kind
    layers: tuple[int, ...]
    stream: str = "resid_post"
    k: int = 0
    write_stream: str = ""
    input_norm: InputNorm = "none"
    residual_threshold: float = 0.0
    stop_on_duplicate: bool = False

    def __post_init__(self):
        if self.kind not in KINDS:
            raise ValueError(f"DictionaryConfig.kind: got {self.kind!r}; needs one of {', '.join(KINDS)}")
        if self.input_norm not in INPUT_NORMS:
            raise ValueError(f"DictionaryConfig.input_norm: got {self.input_norm!r}; needs one of {INPUT_NORMS}")
        if self.ranked != (self.k > 0):
            raise ValueError(
                f"DictionaryConfig.k: got {self.k} for kind {self.kind!r}; k > 0 goes with {', '.join(sorted(RANKED))}"
            )
        if self.kind != "matching_pursuit" and (self.residual_threshold or self.stop_on_duplicate):
            raise ValueError(
                f"DictionaryConfig.residual_threshold, stop_on_duplicate: kind {self.kind!r} does not read them; "
                "they belong to matching_pursuit"
            )
        if len(set(self.layers)) != len(self.layers):
            raise ValueError(f"DictionaryConfig.layers: {self.layers} names a layer twice")
        if self.write_stream == self.stream:
            # One spelling of an SAE, so that equal configurations compare equal.
            object.__setattr__(self, "write_stream", "")

    @property
    def ranked(self) -> bool:
        """Whether one feature's value depends on all others."""
        return self.kind in RANKED

    @property
    def output_stream(self) -> str:
        """The stream written."""
        return self.write_stream or self.stream

    @property
    def is_transcoder(self) -> bool:
        """Whether it writes another stream than it reads."""
        return self.output_stream != self.stream

    @property
    def restores(self) -> bool:
        """Whether decoding undoes the input's norm; a transcoder writes another stream, so there it has no meaning."""
        return self.input_norm != "none" and not self.is_transcoder

    def index_of(self, layer: int) -> int:
        """Position of a model layer in the stack.

        Raises:
            ValueError: no dictionary of the stack belongs to the layer.
        """
        if layer not in self.layers:
            raise ValueError(f"layer {layer} has no dictionary; the dictionaries loaded are for layers {self.layers}")
        return self.layers.index(layer)

    def place(self, layer: int | Int[Array, "*rows"]) -> int | Int[Array, "*rows"]:
        """Position in the stack of a model layer, which may be traced; of traced layers without a dictionary -1.

        Raises:
            ValueError: no dictionary of the stack belongs to a layer that is known while tracing.
        """
        return self.index_of(int(layer)) if isinstance(layer, int | np.integer) else place_among(self.layers, layer)


def place_among(layers: tuple[int, ...], layer: Int[Array, "*rows"]) -> Int[Array, "*rows"]:
    """Position of a traced layer among chosen ones, each named once; -1 of others."""
    table = np.full(max(layers) + 2, -1, np.int32)
    table[list(layers)] = np.arange(len(layers))
    return jnp.asarray(table)[jnp.clip(layer, 0, len(table) - 1)]
