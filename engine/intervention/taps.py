"""Recordings as data: which streams of which layers, and how to read them.

    reader     reads                                                        width
    raw        the stream itself                                            its own
    all        every feature of the layer's dictionary                      F
    selected   the features in `ids` [P, S]: encoder columns gathered once  S
    top_k      the k strongest features, with their ids                     k
    project    inner products with `vectors` [P, S, D]                      S

A `TapSpec` is static and part of the compiled program; ids and vectors are arrays. Feature values are computed in
the accumulation dtype whatever the model computes in. `logits` can be read raw or by top_k.

Shapes: P tapped layers, B rows, T tokens, S selected features or vectors.
"""

import dataclasses
from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from causeway.engine.dictionary.activations import RANKED, elementwise
from causeway.engine.dictionary.dictionary import Dictionary, FeatureColumns, take
from causeway.engine.intervention.sites import STREAMS

Reader = Literal["raw", "all", "selected", "top_k", "project"]
READERS: tuple[Reader, ...] = ("raw", "all", "selected", "top_k", "project")
NARROW = ("attn_pattern", "head_out", "mlp_act", "logits")


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
        if self.stream not in STREAMS:
            raise ValueError(f"TapSpec.stream: got {self.stream!r}; needs one of {', '.join(STREAMS)}")
        if self.reader not in READERS:
            raise ValueError(f"TapSpec.reader: got {self.reader!r}; needs one of {', '.join(READERS)}")
        if (self.reader in ("raw", "all")) != (self.width == 0):
            raise ValueError(f"TapSpec.width: got {self.width} for {self.reader}; raw and all take 0, others a width")
        if self.stream in NARROW and self.reader not in (("raw", "top_k") if self.stream == "logits" else ("raw",)):
            raise ValueError(f"TapSpec.reader: {self.reader!r} cannot read {self.stream}; read it raw")
        if not self.layers:
            raise ValueError("TapSpec.layers: empty; name at least one layer")

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

    values: Array
    valid: Bool[Array, "..."] | None = None
    ids: Int[Array, "..."] | None = None


@partial(
    jax.tree_util.register_dataclass, data_fields=("ids", "vectors", "columns", "dictionary"), meta_fields=("spec",)
)
@dataclasses.dataclass(frozen=True)
class BoundTap:
    """A tap with its arrays: selected columns [P, S, ...] or the stack of dictionaries."""

    spec: TapSpec
    ids: Int[Array, "P S"] | None = None
    vectors: Float[Array, "P S D"] | None = None
    columns: FeatureColumns | None = None
    dictionary: Dictionary | None = None


def bind_tap(
    spec: TapSpec,
    dictionary: Dictionary | None,
    ids: Int[Array, "P S"] | None = None,
    vectors: Float[Array, "P S D"] | None = None,
) -> BoundTap:
    """Gather what a reader needs.

    Raises:
        ValueError: the dictionary, ids or vectors the reader needs are missing, misshapen or out of range.
    """
    if spec.needs_dictionary and dictionary is None:
        raise ValueError(f"dictionary: missing; a tap that reads {spec.reader!r} encodes with one")
    if spec.needs_dictionary and spec.stream != dictionary.config.stream:
        raise ValueError(
            f"TapSpec.stream: {spec.stream!r} read with a dictionary of {dictionary.config.stream!r}; they must agree"
        )
    if spec.reader == "selected":
        _check_width(spec, ids, "ids")
        stack = np.array([dictionary.config.index_of(layer) for layer in spec.layers])
        if not spec_ranked(dictionary):
            return BoundTap(spec, ids, columns=FeatureColumns(dictionary, stack[:, None], ids))
    if spec.reader == "project":
        _check_width(spec, vectors, "vectors")
        return BoundTap(spec, vectors=vectors)
    return BoundTap(spec, ids, dictionary=dictionary if spec.needs_dictionary else None)


def spec_ranked(dictionary: Dictionary) -> bool:
    """Whether reading one feature means encoding all."""
    return dictionary.config.kind in RANKED


def _check_width(spec: TapSpec, array: Array | None, name: str) -> None:
    needed = (len(spec.layers), spec.width)
    if array is None or array.shape[:2] != needed:
        got = "nothing" if array is None else f"shape {array.shape}"
        raise ValueError(f"tap {name}: got {got}; the {spec.reader} reader of this spec needs a leading shape {needed}")


def read(tap: BoundTap, x: Array, position: int | Array) -> tuple[Array, Array | None]:
    """Read one layer's stream [B, T, ...]; `position` is the layer's place in `tap.spec.layers`, perhaps traced."""
    spec = tap.spec
    if spec.reader == "raw":
        return x, None
    x = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    if spec.reader == "project":
        return jnp.einsum("btd,sd->bts", x, tap.vectors[position].astype(x.dtype)), None
    if tap.columns is not None:
        return _selected(jax.tree.map(lambda a: a[position], tap.columns), x), None
    if spec.stream == "logits":
        return jax.lax.top_k(x, spec.width)
    stack = jnp.asarray([tap.dictionary.config.index_of(layer) for layer in spec.layers])[position]
    f = take(tap.dictionary, stack).encode(x)
    if spec.reader == "top_k":
        return jax.lax.top_k(f, spec.width)
    return (f if spec.reader == "all" else f[..., tap.ids[position]]), None


def _selected(columns: FeatureColumns, x: Float[Array, "B T D"]) -> Float[Array, "B T S"]:
    p = jnp.einsum("btd,sd->bts", x, columns.encoder.astype(x.dtype)) + columns.bias.astype(x.dtype)
    return elementwise(columns.kind, p, columns.parameters)
