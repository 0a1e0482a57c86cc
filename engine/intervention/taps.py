"""Recordings as data: which streams of which layers, and how to read them.

    reader     reads                                                        width
    raw        the stream itself                                            its own
    all        every feature of the layer's dictionary                      F
    selected   the features in `ids` [P, S]: encoder columns gathered once  S
    top_k      the k strongest features, with their ids                     k
    project    inner products with `vectors` [P, S, D]                      S

A `TapSpec` is static and part of the compiled program; ids and vectors are arrays. Feature values are computed in
the accumulation dtype whatever the model computes in. `logits` can be read raw or by top_k. All readers but raw take
`head_out` with its heads side by side, [H K].

Shapes: P tapped layers, B rows, T tokens, S selected features or vectors.
"""

import dataclasses
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from causeway.engine.arrays import AnyArray
from causeway.engine.dictionary.activations import elementwise
from causeway.engine.dictionary.columns import FeatureColumns
from causeway.engine.dictionary.dictionary import Dictionary
from causeway.engine.dictionary.input_norm import normalise
from causeway.engine.dictionary.largest import largest
from causeway.engine.dictionary.placement import InMemory
from causeway.engine.intervention.sites import NORMS, STREAMS, side_by_side
from causeway.engine.model.unrolled import layers_of, on_cpu

Reader = Literal["raw", "all", "selected", "top_k", "project"]
READERS: tuple[Reader, ...] = ("raw", "all", "selected", "top_k", "project")
NARROW = ("attn_pattern", "logits", *NORMS)


@dataclasses.dataclass(frozen=True)
class TapSpec:
    """The static part of a recording.

    Attributes:
        stream, reader: what is read and how. layers: model layers, in the order of the record's layer axis; for
            `final_norm` and `logits` the one layer L. width: S, or k for top_k; 0 for raw and all.
    """

    stream: str
    reader: Reader
    layers: tuple[int, ...]
    width: int = 0

    def __post_init__(self):
        if self.stream not in STREAMS + NORMS:
            raise ValueError(f"Tap.stream: got {self.stream!r}; needs one of {', '.join(STREAMS)}")
        if self.reader not in READERS:
            raise ValueError(f"Tap.reader: got {self.reader!r}; needs one of {', '.join(READERS)}")
        if (self.reader in ("raw", "all")) != (self.width == 0):
            raise ValueError(f"Tap.width: got {self.width} for {self.reader}; raw and all take 0, others a width")
        if self.stream in NARROW and self.reader not in (("raw", "top_k") if self.stream == "logits" else ("raw",)):
            raise ValueError(f"Tap.reader: {self.reader!r} cannot read {self.stream}; read it raw")
        if not self.layers:
            raise ValueError("Tap.layers: empty; name at least one layer")

    @property
    def needs_dictionary(self) -> bool:
        """Whether the reader encodes with a dictionary."""
        return self.reader in ("all", "selected") or (self.reader == "top_k" and self.stream != "logits")


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Record:
    """What a tap read; entries that are not valid are zero.

    values: [step or P, ...] as the pass that made it documents. ids: feature or token ids, top_k alone.
    """

    values: AnyArray
    valid: Bool[AnyArray, "..."]
    ids: Int[AnyArray, "..."] | None = None

    def __repr__(self) -> str:
        return f"Record(values {getattr(self.values, 'shape', self.values)}{'' if self.ids is None else ', with ids'})"


Reading = tuple[Array, Array | None]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class BoundRaw:
    """A tap of the stream itself."""

    spec: TapSpec = dataclasses.field(metadata={"static": True})


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class BoundProjection:
    """A tap of inner products with vectors."""

    vectors: Float[AnyArray, "P S D"]
    spec: TapSpec = dataclasses.field(metadata={"static": True})

    def __call__(self, x: Float[Array, "B T D"], position: int | Array) -> Reading:
        """[B, T, S]."""
        return jnp.einsum("btd,sd->bts", x, self.vectors[position].astype(x.dtype)), None


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class BoundColumns:
    """A tap of selected features that can be read alone: their columns [P, S, ...]."""

    columns: FeatureColumns
    spec: TapSpec = dataclasses.field(metadata={"static": True})

    def __call__(self, x: Float[Array, "B T D"], position: int | Array) -> Reading:
        """[B, T, S]."""
        columns = jax.tree.map(lambda a: a[position], self.columns)
        encoder, dtype = columns.encoder, jnp.promote_types(x.dtype, jnp.float32)
        # 16-bit factors are exact in sums of float32, so they are not written anew in float32.
        if columns.config.input_norm != "none" or encoder.dtype != x.dtype:
            x = normalise(columns.config.input_norm, x.astype(dtype))
            encoder = encoder.astype(dtype)
        p = jnp.einsum("btd,sd->bts", x, encoder, preferred_element_type=dtype) + columns.bias.astype(dtype)
        return elementwise(columns.kind, p, columns.parameters), None


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class BoundFeatures:
    """A tap that encodes with the whole dictionary and keeps all features, or those of `ids`."""

    dictionary: InMemory
    ids: Int[AnyArray, "P S"] | None
    spec: TapSpec = dataclasses.field(metadata={"static": True})

    def __call__(self, x: Float[Array, "B T D"], position: int | Array) -> Reading:
        """[B, T, F], or [B, T, S]."""
        f = _encoded(self.spec, self.dictionary, x, position)
        return (f if self.ids is None else f[..., self.ids[position]]), None


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class BoundTop:
    """A tap of the k largest: of the features, or without a dictionary of the stream (logits)."""

    dictionary: InMemory | None
    spec: TapSpec = dataclasses.field(metadata={"static": True})

    def __call__(self, x: Float[Array, "B T D"], position: int | Array) -> Reading:
        """Values and ids [B, T, k]."""
        if self.dictionary is None:
            return largest(x, self.spec.width)
        return self.dictionary.strongest_at(jnp.asarray(self.spec.layers)[position], x, self.spec.width)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class BoundSingles:
    """A tap of dictionaries of single layers, one for each tapped layer, where layers are written out."""

    layers: tuple[BoundFeatures | BoundTop, ...]
    spec: TapSpec = dataclasses.field(metadata={"static": True})

    def __call__(self, x: Float[Array, "B T D"], position: int | Array) -> Reading:
        """As the tap of that layer.

        Raises:
            ValueError: a place that is traced.
        """
        if not isinstance(position, int):
            raise ValueError("tap: dictionaries of single layers are for programs that write their layers out")
        return self.layers[position](x, position)


BoundTap = BoundRaw | BoundProjection | BoundColumns | BoundFeatures | BoundTop | BoundSingles


def single(tap: BoundTap) -> BoundTap:
    """The tap with each layer's own dictionary, for programs that write layers out, where that takes no memory."""
    if not isinstance(tap, BoundFeatures | BoundTop) or not isinstance(whole := tap.dictionary, Dictionary):
        return tap
    if not whole.stacked or not on_cpu(whole.W_enc[...]):
        return tap
    layers = layers_of(whole)
    own = [layers[whole.config.index_of(layer)] for layer in tap.spec.layers]
    return BoundSingles(tuple(dataclasses.replace(tap, dictionary=one) for one in own), tap.spec)


def bind_tap(
    spec: TapSpec,
    dictionary: InMemory | None,
    ids: Int[AnyArray, "P S"] | None = None,
    vectors: Float[AnyArray, "P S D"] | None = None,
) -> BoundTap:
    """Gather what a reader needs.

    Raises:
        ValueError: the dictionary, ids or vectors the reader needs are missing, misshapen or out of range.
    """
    if spec.reader == "raw":
        return BoundRaw(spec)
    if spec.reader == "project":
        return BoundProjection(_of_width(spec, vectors, "vectors"), spec)
    if not spec.needs_dictionary:
        return BoundTop(None, spec)
    if dictionary is None:
        raise ValueError(f"dictionary: missing; a tap that reads {spec.reader!r} encodes with one")
    if spec.stream != dictionary.config.stream:
        raise ValueError(
            f"Tap.stream: {spec.stream!r} read with a dictionary of {dictionary.config.stream!r}; they must agree"
        )
    if spec.width > dictionary.num_features:
        raise ValueError(f"Tap.width: {spec.width} is more than the dictionary's {dictionary.num_features} features")
    stack = np.array([dictionary.config.index_of(layer) for layer in spec.layers])
    if spec.reader == "top_k":
        return BoundTop(dictionary, spec)
    if spec.reader == "all":
        return BoundFeatures(dictionary, None, spec)
    ids = _of_width(spec, ids, "ids")
    outside = np.asarray(ids)[(np.asarray(ids) < 0) | (np.asarray(ids) >= dictionary.num_features)]
    if outside.size:
        raise ValueError(f"tap ids: {outside[0]} is outside the dictionary's 0..{dictionary.num_features - 1}")
    if dictionary.config.ranked:
        return BoundFeatures(dictionary, ids, spec)
    return BoundColumns(FeatureColumns(dictionary, stack[:, None], ids, decoder=False), spec)


def _of_width(spec: TapSpec, array: AnyArray | None, name: str) -> AnyArray:
    """The array, which the reader needs for each layer and each of `width`."""
    needed = (len(spec.layers), spec.width)
    if array is None or array.shape[:2] != needed:
        got = "nothing" if array is None else f"shape {array.shape}"
        raise ValueError(f"tap {name}: got {got}; the {spec.reader} reader of this spec needs a leading shape {needed}")
    return array


def read(tap: BoundTap, x: Array, position: int | Array) -> Reading:
    """Read one layer's stream [B, T, ...]; `position` is the layer's place in `tap.spec.layers`, perhaps traced."""
    if isinstance(tap, BoundRaw):
        return x, None
    flat = side_by_side(x)
    return tap(
        flat if isinstance(tap, BoundColumns) else flat.astype(jnp.promote_types(x.dtype, jnp.float32)), position
    )


def _encoded(spec: TapSpec, dictionary: InMemory, x: Array, position: int | Array) -> Float[Array, "B T F"]:
    """All features of the dictionary at that place."""
    return dictionary.encode_at(jnp.asarray(spec.layers)[position], x)
