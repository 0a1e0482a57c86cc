"""Holds: what a pass keeps as it was in the clean pass of the same tokens.

    stream           what is kept                                                        shape
    attn_pattern     every head's weights                                                [L, rows, H, T, S]
    norm             1 / sigma of every norm of a block; the final norm's with the last  [L, rows, T]
    mlp_out          what MLPs write                                                     [L, rows, T, D]
    any other        the stream of that name                                             [L, rows, T, ...]

With patterns and denominators kept attention and norms are linear maps, z_h[t] = sum_s P_h[t, s] v_h[s] and
norm(x) = gain * centre(x) / sigma (+ bias). Three lists of holds have names:

    open               nothing
    freeze_attention   patterns
    constrained        patterns, norms and MLP outputs: only direct paths are left

Two rules make `constrained` the direct edges of an attribution graph. What a held MLP writes still passes changes on
through the skip connection of a transcoder. And where MLP outputs are held an edit of a feature starts from the clean
activation, which is what the held output contains.

A stream is held before it is edited: an edit at a held stream changes what was kept. In exact outcomes the clean pass
is that of the prompt and its answers; in generation it is that of the prompt, and generated tokens hold nothing.
"""

import dataclasses
import re
from collections.abc import Sequence
from typing import Literal, cast

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from causeway.engine import scalars
from causeway.engine.arrays import AnyArray
from causeway.engine.dictionary.config import DictionaryConfig, place_among
from causeway.engine.dictionary.placement import InMemory
from causeway.engine.intervention.edges import Edges
from causeway.engine.intervention.sites import NORMS, ONCE, STREAMS
from causeway.engine.model.config import ModelConfig
from causeway.engine.model.refusals import check_stream

HOLDABLE = ("norm", *(stream for stream in STREAMS if stream not in ONCE))
Name = Literal["open", "freeze_attention", "constrained"]


@dataclasses.dataclass(frozen=True)
class Hold:
    """Keep a stream as it was in the clean pass.

    Attributes:
        stream: attn_pattern; norm, the denominators of all norms; mlp_out; or another stream of a block.
        layers: one or several, negative ones counted from the end; default: all.

    Raises:
        ValueError: a stream that cannot be held, or layers that are no whole numbers.
    """

    stream: str
    layers: Sequence[int] | int | None = None

    def __post_init__(self):
        if self.stream not in HOLDABLE:
            raise ValueError(f"Hold.stream: got {scalars.shown(self.stream)}; needs one of {', '.join(HOLDABLE)}")
        if self.layers is not None:
            layers = tuple(scalars.integers(self.layers, "Hold.layers", -scalars.INT32_MAX).ravel().tolist())
            if not layers:
                raise ValueError("Hold.layers: got none; name some, or leave it out for all")
            object.__setattr__(self, "layers", layers)


AnyHolds = Hold | str | Sequence[Hold | str]  # a name below, STREAM or STREAM.LAYER
NAMED: dict[str, tuple[Hold, ...]] = {
    "open": (),
    "freeze_attention": (Hold("attn_pattern"),),
    "constrained": (Hold("attn_pattern"), Hold("norm"), Hold("mlp_out")),
}


@dataclasses.dataclass(frozen=True)
class HeldLayers:
    """Which layers hold what, as booleans [L] a stream; the layers of `norm` stand for every norm.

    `writes`: the layers to which features write; others drop what a cross-layer decoder sends there.
    """

    layers: dict[str, Bool[np.ndarray, " L"]]
    writes: Bool[np.ndarray, " L"]

    @classmethod
    def of(cls, holds: AnyHolds, num_layers: int) -> "HeldLayers":
        """Holds of a model of so many layers.

        Raises:
            ValueError: something that is no hold, an unknown name, or layers that the model does not have.
        """
        found: dict[str, np.ndarray] = {}
        for hold in _listed(holds):
            chosen = range(num_layers) if hold.layers is None else cast(tuple[int, ...], hold.layers)
            layers = [scalars.layer(at, num_layers, "Hold.layers") for at in chosen]
            before = found.get(hold.stream, np.zeros(num_layers, bool))
            found[hold.stream] = before | np.isin(np.arange(num_layers), layers)
        return cls(found, np.ones(num_layers, bool))

    def __bool__(self) -> bool:
        return bool(self.layers)

    @property
    def listed(self) -> list[Hold]:
        """As a list again."""
        return [Hold(stream, np.flatnonzero(mask).tolist()) for stream, mask in self.layers.items()]

    def mask(self, stream: str) -> Bool[np.ndarray, " L"] | None:
        """The layers that hold a stream of the block; of `final_scale` one entry; None where none does."""
        found = self.layers.get("norm" if stream in NORMS else stream)
        return found[-1:] if found is not None and stream == "final_scale" else found


def checked_holds(holds: AnyHolds, config: ModelConfig, dictionary: InMemory | None) -> HeldLayers:
    """Holds of a model and a dictionary.

    Raises:
        ValueError: see `HeldLayers.of` and `check_reach`; a stream that the model lacks; or MLP outputs held where
            features cannot start from the clean activation.
    """
    held = HeldLayers.of(holds, config.num_layers)
    check_held(held, config)
    check_reach(held, dictionary)
    if dictionary is None or "mlp_out" not in held.layers:
        return held
    if dictionary.config.ranked and not dictionary.config.is_transcoder:
        raise ValueError(
            f"holds: mlp_out (constrained) with a {dictionary.config.kind} SAE, whose features are read from the "
            "stream that they change; use open, freeze_attention, transcoders, or intervene"
        )
    return held


def check_held(held: HeldLayers, config: ModelConfig) -> None:
    """Refuse streams that the model lacks.

    Raises:
        ValueError: naming the stream.
    """
    for stream in held.layers:
        if stream != "norm":
            check_stream(stream, config, "holds")


def check_reach(held: HeldLayers, dictionary: InMemory | None) -> None:
    """Refuse features whose writing is held.

    Raises:
        ValueError: they write before the norm of an output that is held.
    """
    if dictionary is not None and "mlp_out" in held.layers and dictionary.config.output_stream == "mlp_raw":
        raise ValueError(
            "holds: mlp_out (constrained) with transcoders that write mlp_raw, before the norm whose output is held, "
            "so that nothing would change; use open or freeze_attention"
        )


def _listed(holds: AnyHolds) -> list[Hold]:
    if isinstance(holds, Hold):
        return [holds]
    if isinstance(holds, str):
        if holds in NAMED:
            return list(NAMED[holds])
        stream, _, layer = holds.partition(".")
        if stream not in HOLDABLE or not re.fullmatch(r"(-?\d+)?", layer):
            raise ValueError(f"holds: got {holds!r}; needs one of {', '.join(NAMED)}, STREAM, STREAM.LAYER, or a Hold")
        return [Hold(stream, int(layer) if layer else None)]
    if not isinstance(holds, Sequence) or not all(isinstance(hold, Hold | str) for hold in holds):
        raise ValueError(f"holds: got {scalars.shown(holds)}; needs {', '.join(NAMED)}, Hold, or a list of them")
    return [one for hold in holds for one in _listed(hold)]


def needed_streams(held: HeldLayers, post_norms: bool, dictionary: InMemory | None = None) -> tuple[str, ...]:
    """Streams of the clean pass that a pass needs: those held, and what edits and skip connections compare with."""
    norms = NORMS if post_norms else tuple(name for name in NORMS if "post" not in name)
    kept = [stream for name in held.layers for stream in (norms if name == "norm" else (name,))]
    reads = [dictionary.config.stream] if dictionary is not None and "mlp_out" in held.layers else []
    return tuple(dict.fromkeys(kept + reads))


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Skip:
    """Skip connections of transcoders: the weights of a stack."""

    weights: Float[Array, "P D O"]
    config: DictionaryConfig = dataclasses.field(metadata={"static": True})

    @classmethod
    def of(cls, dictionary: InMemory | None) -> "Skip | None":
        """Those of a dictionary; None where it has none."""
        if dictionary is None or not (hasattr(dictionary, "W_skip") and dictionary.config.is_transcoder):
            return None
        return cls(dictionary.W_skip[...], dictionary.config)

    @property
    def reads(self) -> str:
        """The stream that they start from."""
        return self.config.stream

    def __call__(self, change: Float[Array, "B T D"], layer: int | Array) -> Float[Array, "B T O"]:
        """What a changed input adds to the output."""
        place = place_among(self.config.layers, jnp.asarray(layer))
        added = jnp.einsum("btd,do->bto", change, self.weights[place].astype(change.dtype))
        return jnp.where(place >= 0, added, 0)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Held:
    """What a pass carries of a clean one.

    Attributes:
        streams: [L, rows, T, ...] of the clean pass, one row where all rows share it; `final_scale` [1, rows, T].
        layers: of the held streams among them, [L].
            Patterns of an answer tree are in pieces, `attn_pattern.0` and on.
        skip: what held MLP outputs pass changes on by.
        length: tokens of the prompt that was run, where a pass goes on after it.
        whole: streams held in every layer, so that no program asks layer by layer.
    """

    streams: dict[str, Float[Array, "L rows T *D"]]
    layers: dict[str, Bool[AnyArray, " L"]]
    skip: Skip | None
    length: Int[AnyArray, ""] | None = None
    whole: tuple[str, ...] = dataclasses.field(default=(), metadata={"static": True})

    @classmethod
    def of(cls, held: HeldLayers, streams: dict[str, Array], dictionary: InMemory | None = None) -> "Held":
        """What `held` names, out of the streams of a clean pass."""
        names = dict.fromkeys(stream.partition(".")[0] for stream in streams)
        layers: dict[str, AnyArray] = {stream: mask for stream in names if (mask := held.mask(stream)) is not None}
        skip = Skip.of(dictionary) if "mlp_out" in layers else None
        return cls(streams, layers, skip, whole=tuple(stream for stream, mask in layers.items() if mask.all()))

    def clean(self, stream: str, layer: int | Array) -> Float[Array, "rows T *D"]:
        """A layer's stream in the clean pass."""
        return self.streams[stream][0 if stream == "final_scale" else layer]

    def choose(self, stream: str, layer: int | Array, kept: Array, own: Array) -> Array:
        """`kept` in the layers that hold the stream, else `own`; of one row where all rows and layers share it."""
        if stream not in self.layers:
            return own
        if stream in self.whole:
            return kept.astype(own.dtype)
        here = jnp.asarray(self.layers[stream])[0 if stream == "final_scale" else layer]
        return jnp.where(here, kept.astype(own.dtype), own)

    def pattern(self, layer: int | Array, edges: Edges) -> Float[Array, "rows H T S"]:
        """A layer's clean pattern; of a pattern in pieces the piece, with nothing where its queries see nothing."""
        if edges.piece is None:
            return self.clean("attn_pattern", layer)
        if (name := f"attn_pattern.{edges.piece}") in self.streams:
            return self.clean(name, layer)
        # One token of a prompt that was run whole: [rows, H, 1, S], keys by their position.
        keys = jnp.atleast_2d(edges.keys)[-1]
        return jnp.where(edges.visible[:1], jnp.take(self.clean("attn_pattern", layer), keys, axis=-1, mode="clip"), 0)

    def at_top(self, positions: Int[AnyArray, " Q"]) -> "Held":
        """The same for the streams above the last block at some positions."""
        final = {name: values[:, :, positions] for name, values in self.streams.items() if name == "final_scale"}
        kept = {name: self.layers[name] for name in final if name in self.layers}
        return Held(final, kept, None, whole=self.whole)

    def at_token(self, position: Int[Array, ""]) -> "Held":
        """The same for one token; nothing is held of those after the prompt, which the clean pass did not run."""
        within = position < jnp.asarray(self.length)

        def at(stream: str, values: Array) -> Array:
            return jax.lax.dynamic_slice_in_dim(values, position, 1, axis=3 if stream == "attn_pattern" else 2)

        layers: dict[str, AnyArray] = {stream: jnp.asarray(mask) & within for stream, mask in self.layers.items()}
        return Held({name: at(name, values) for name, values in self.streams.items()}, layers, self.skip)
