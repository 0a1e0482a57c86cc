"""What a pass carries of a clean one: the streams that it holds (`intervention.hold` says what may be held)."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from causeway.engine.arrays import AnyArray
from causeway.engine.dictionary.config import DictionaryConfig, place_among
from causeway.engine.dictionary.placement import InMemory
from causeway.engine.intervention.edges import Edges
from causeway.engine.intervention.hold import FEATURES, HeldLayers
from causeway.engine.intervention.kept_features import KeptFeatures
from causeway.engine.intervention.sites import NORMS


def needed_streams(held: HeldLayers, post_norms: bool, dictionary: InMemory | None = None) -> tuple[str, ...]:
    """Streams of the clean pass that a pass needs: those held, and what edits and skip connections compare with."""
    norms = NORMS if post_norms else tuple(name for name in NORMS if "post" not in name)
    kept = [stream for name in held.layers if name != FEATURES for stream in (norms if name == "norm" else (name,))]
    reads = [dictionary.config.stream] if dictionary is not None and {"mlp_out", FEATURES} & held.layers.keys() else []
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
        features: those held.
        length: tokens of the prompt that was run, where a pass goes on after it.
        writes: the layers to which features write, where not all are.
        whole: streams held in every layer, so that no program asks layer by layer.
    """

    streams: dict[str, Float[Array, "L rows T *D"]]
    layers: dict[str, Bool[AnyArray, " L"]]
    skip: Skip | None
    features: KeptFeatures | None = None
    length: Int[AnyArray, ""] | None = None
    writes: Bool[AnyArray, " L"] | None = None
    whole: tuple[str, ...] = dataclasses.field(default=(), metadata={"static": True})

    @classmethod
    def of(cls, held: HeldLayers, streams: dict[str, Array], dictionary: InMemory | None = None) -> "Held":
        """What `held` names, out of the streams of a clean pass."""
        names = dict.fromkeys(stream.partition(".")[0] for stream in streams)
        layers: dict[str, AnyArray] = {stream: mask for stream in names if (mask := held.mask(stream)) is not None}
        skip = Skip.of(dictionary) if "mlp_out" in layers else None
        whole = tuple(stream for stream, mask in layers.items() if mask.all())
        writes = None if held.writes.all() else held.writes
        if not held.features or dictionary is None:
            return cls(streams, layers, skip, writes=writes, whole=whole)
        kept = KeptFeatures.of(held.features, dictionary)
        return cls(streams, layers | {FEATURES: held.layers[FEATURES]}, skip, kept, writes=writes, whole=whole)

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
        return Held({name: at(name, values) for name, values in self.streams.items()}, layers, self.skip, self.features)

    def starts_clean(self, feature: Int[AnyArray, "B E"], layer: int | Array) -> Bool[Array, "B E"] | None:
        """Which edits of a layer's features start from the clean activation, which the pass contains; None: none."""
        starts = [jnp.asarray(self.layers[name])[layer] for name in ("mlp_out", FEATURES) if name in self.layers]
        if self.features is not None:
            starts[-1] = starts[-1] & self.features.has(feature, layer)
        return jnp.broadcast_to(functools.reduce(jnp.logical_or, starts), feature.shape) if starts else None
