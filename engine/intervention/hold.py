"""Holds: what a pass keeps as it was in the clean pass of the same tokens.

    stream           what is kept                                                        shape
    attn_pattern     every head's weights                                                [L, rows, H, T, S]
    norm             1 / sigma of every norm of a block; the final norm's with the last  [L, rows, T]
    mlp_out          what MLPs write                                                     [L, rows, T, D]
    features         activations of dictionary features (`kept_features`)                [L, rows, T, F]
    any other        the stream of that name                                             [L, rows, T, ...]

With patterns and denominators kept attention and norms are linear maps, z_h[t] = sum_s P_h[t, s] v_h[s] and
norm(x) = gain * centre(x) / sigma (+ bias). Three lists of holds have names:

    open               nothing
    freeze_attention   patterns
    constrained        patterns, norms and MLP outputs: only direct paths are left

Two rules make `constrained` the direct edges of an attribution graph. What a held MLP writes still passes changes on
through the skip connection of a transcoder. And where MLP outputs or the feature itself are held an edit of a feature
starts from the clean activation, which is what the pass contains.

A stream is held before it is edited: an edit at a held stream changes what was kept. In exact outcomes the clean pass
is that of the prompt and its answers; in generation it is that of the prompt, and generated tokens hold nothing.
"""

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Literal, cast

import numpy as np
from jaxtyping import Bool

from causeway.engine import scalars
from causeway.engine.dictionary.config import DictionaryConfig
from causeway.engine.dictionary.placement import Holder
from causeway.engine.intervention.checks import check_order
from causeway.engine.intervention.sites import NORMS, ONCE, STREAMS
from causeway.engine.model.config import ModelConfig
from causeway.engine.model.refusals import check_stream

FEATURES = "features"
HOLDABLE = ("norm", FEATURES, *(stream for stream in STREAMS if stream not in ONCE))
# A stream with its layer, or a name of another library: read where the model is known (`named_holds`).
FURTHER = re.compile(r"hook_|.+\.")
Name = Literal["open", "freeze_attention", "constrained"]


@dataclasses.dataclass(frozen=True)
class Hold:
    """Keep a stream, or dictionary features, as in the clean pass.

    Attributes:
        stream: attn_pattern; norm, the denominators of all norms; mlp_out; features; or another stream of a block, also
            by the names that `Tap` takes.
        layers: one or several, negative ones counted from the end; default: all, of features all with a dictionary.
        features: ids of the features of each of these layers; default: all.

    Raises:
        ValueError: a stream that cannot be held, or layers or features that are no whole numbers.
    """

    stream: str
    layers: Sequence[int] | int | None = None
    features: Sequence[int] | int | None = None

    def __post_init__(self):
        if self.stream not in HOLDABLE and not FURTHER.match(scalars.text(self.stream, "Hold.stream")):
            raise ValueError(f"Hold.stream: got {scalars.shown(self.stream)}; needs one of {', '.join(HOLDABLE)}")
        if self.features is not None and self.stream != FEATURES:
            raise ValueError(f"Hold.features: given with {self.stream}; they belong to Hold('features', ...)")
        for name, least in (("layers", -scalars.INT32_MAX), ("features", 0)):
            if (given := getattr(self, name)) is not None:
                numbers = tuple(scalars.integers(given, f"Hold.{name}", least).ravel().tolist())
                if not numbers:
                    raise ValueError(f"Hold.{name}: got none; name some, or leave it out for all")
                object.__setattr__(self, name, numbers)


AnyHolds = Hold | str | Sequence[Hold | str]  # a name below, STREAM, STREAM.LAYER or features.LAYER.FEATURE
NAMED: dict[str, tuple[Hold, ...]] = {
    "open": (),
    "freeze_attention": (Hold("attn_pattern"),),
    "constrained": (Hold("attn_pattern"), Hold("norm"), Hold("mlp_out")),
}


@dataclasses.dataclass(frozen=True)
class HeldLayers:
    """Which layers hold what, as booleans [L] a stream; the layers of `norm` stand for every norm.

    `writes`: the layers to which features write; others drop what a cross-layer decoder sends there. `features`: those
    held, by layer; None: all.
    """

    layers: dict[str, Bool[np.ndarray, " L"]]
    writes: Bool[np.ndarray, " L"]
    features: dict[int, tuple[int, ...] | None] = dataclasses.field(default_factory=dict)

    @classmethod
    def of(cls, holds: AnyHolds, num_layers: int, dictionary_layers: Sequence[int] | None = None) -> "HeldLayers":
        """Holds of a model of so many layers, some of which have a dictionary (default: all).

        Raises:
            ValueError: something that is no hold, an unknown name, or layers that the model does not have.
        """
        found: dict[str, np.ndarray] = {}
        features: dict[int, tuple[int, ...] | None] = {}
        for hold in _listed(holds):
            every = range(num_layers) if hold.stream != FEATURES or dictionary_layers is None else dictionary_layers
            chosen = every if hold.layers is None else cast(tuple[int, ...], hold.layers)
            layers = [scalars.layer(at, num_layers, "Hold.layers") for at in chosen]
            before = found.get(hold.stream, np.zeros(num_layers, bool))
            found[hold.stream] = before | np.isin(np.arange(num_layers), layers)
            for layer in layers if hold.stream == FEATURES else ():
                features[layer] = _both(features.get(layer, ()), cast(tuple[int, ...] | None, hold.features))
        return cls(found, np.ones(num_layers, bool), features)

    def __bool__(self) -> bool:
        return bool(self.layers)

    @property
    def listed(self) -> list[Hold]:
        """As a list again."""
        streams = {stream: mask for stream, mask in self.layers.items() if stream != FEATURES}
        kept = [Hold(FEATURES, layer, features) for layer, features in self.features.items()]
        return [Hold(stream, np.flatnonzero(mask).tolist()) for stream, mask in streams.items()] + kept

    def skipping(self, config: DictionaryConfig) -> set[int]:
        """The layers whose transcoders may pass a change on where the output is held."""
        mask = self.mask("mlp_out")
        return set() if mask is None or not config.is_transcoder else {at for at in config.layers if mask[at]}

    def mask(self, stream: str) -> Bool[np.ndarray, " L"] | None:
        """The layers that hold a stream of the block; of `final_scale` one entry; None where none does."""
        found = self.layers.get("norm" if stream in NORMS else stream)
        return found[-1:] if found is not None and stream == "final_scale" else found


def checked_holds(holds: AnyHolds, config: ModelConfig, dictionary: Holder | None) -> HeldLayers:
    """Holds of a model and a dictionary.

    Raises:
        ValueError: see `HeldLayers.of` and `check_held`.
    """
    held = HeldLayers.of(holds, config.num_layers, None if dictionary is None else dictionary.config.layers)
    check_held(held, config, dictionary)
    return held


def check_held(held: HeldLayers, config: ModelConfig, dictionary: Holder | None) -> None:
    """Refuse streams that the model lacks, and features that the dictionary lacks or whose writing is held.

    Raises:
        ValueError: naming them.
    """
    for stream in held.layers:
        if stream not in ("norm", FEATURES):
            check_stream(stream, config, "holds")
    _check_reach(held, dictionary)
    if held.features:
        _check_features(held.features, dictionary)


def _check_features(features: Mapping[int, tuple[int, ...] | None], dictionary: Holder | None) -> None:
    if dictionary is None:
        raise ValueError("holds: features are held, but there is no dictionary that they are of; give dictionary=...")
    check_order(dictionary.config)
    for layer, chosen in features.items():
        dictionary.config.index_of(layer)
        if chosen and (most := max(chosen)) >= dictionary.num_features:
            raise ValueError(f"Hold.features: {most} is outside the dictionary's 0..{dictionary.num_features - 1}")


def _check_reach(held: HeldLayers, dictionary: Holder | None) -> None:
    """Refuse features whose writing is held.

    Raises:
        ValueError: they write before the norm of an output that is held.
    """
    if dictionary is not None and "mlp_out" in held.layers and dictionary.config.output_stream == "mlp_raw":
        raise ValueError(
            "holds: mlp_out (constrained) with transcoders that write mlp_raw, before the norm whose output is held, "
            "so that nothing would change; use open or freeze_attention"
        )


def _both(some: tuple[int, ...] | None, more: tuple[int, ...] | None) -> tuple[int, ...] | None:
    """Features of either list; None is all."""
    return None if some is None or more is None else tuple(sorted({*some, *more}))


def _listed(holds: AnyHolds) -> list[Hold]:
    if isinstance(holds, Hold):
        return [holds]
    if isinstance(holds, str):
        if holds in NAMED:
            return list(NAMED[holds])
        match = re.fullmatch(rf"({'|'.join(HOLDABLE)})(?:\.(-?\d+))?(?:(?<=\d)\.(\d+))?", holds)
        if match is None:
            raise ValueError(
                f"holds: got {holds!r}; needs one of {', '.join(NAMED)}, STREAM, STREAM.LAYER, features.LAYER.FEATURE, "
                "or a Hold"
            )
        return [Hold(match[1], *(None if number is None else int(number) for number in match.groups()[1:]))]
    if not isinstance(holds, Sequence) or not all(isinstance(hold, Hold | str) for hold in holds):
        raise ValueError(f"holds: got {scalars.shown(holds)}; needs {', '.join(NAMED)}, Hold, or a list of them")
    return [one for hold in holds for one in _listed(hold)]
