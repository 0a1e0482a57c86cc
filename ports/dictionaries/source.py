"""What every reader of a dictionary format produces: one layer's dictionary, described and not yet read.

A reader looks at configurations and headers, and returns a `DictionarySource`: the canonical shapes, and for each
canonical array a function that gives any range of features of it. Folds are composed into those functions, so that
they cost nothing before the bytes are asked for and never need more than the range asked for. Whoever places the
dictionary (on one device, sharded by features, layer after layer) decides which ranges are read, and when.

Orientation is the engine's: W_enc [D, F], W_dec [F, O], W_skip [D, O], vectors [F] or [O]; `x @ W_enc`. The decoder of
a cross-layer transcoder is [F, M, O]: it writes to the M layers from its own up.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from causeway.engine.dictionary.dictionary import DictionaryConfig


@dataclasses.dataclass(frozen=True)
class FeatureArray:
    """One canonical array, by ranges of features.

    Attributes:
        shape: of the whole array, in the canonical orientation.
        feature_axis: the axis that counts features, None for arrays without one (b_dec, W_skip).
        dtype: in which `read` returns values when nothing is folded; what the file stores.
        read: `read(start, stop)` gives features [start, stop), any float dtype; without a feature axis the arguments
            are ignored and the whole array comes. Raises ValueError naming file and tensor for values not finite.
    """

    shape: tuple[int, ...]
    feature_axis: int | None
    dtype: np.dtype
    read: Callable[[int, int], np.ndarray]

    def whole(self) -> np.ndarray:
        """Every feature."""
        return self.read(0, 0 if self.feature_axis is None else self.shape[self.feature_axis])


@dataclasses.dataclass(frozen=True)
class DictionarySource:
    """A published dictionary of one layer.

    Attributes:
        where: the configuration or weight file, for errors. format: the format's name ("saelens", "llama_scope", ...).
        config: canonical, `layers` naming the one layer.
        arrays: canonical name (`W_enc`, `b_enc`, `W_dec`, `b_dec`, `threshold`, `W_skip`, ...) -> array.
        files: everything that is read; what a fingerprint covers.
        model_name: the model it was trained on, "" where the files do not say.
        value_scale: in which scale feature values are, one short sentence ("as trained: the input is scaled by
            sqrt(D) / 29.125 first"); "raw" where nothing is scaled.
        centred: it was trained on a model whose stream has no mean over its width, which only a model with LayerNorms
            can do without; the mean is taken out by the encoder here.
        card: what the publisher says about it (l0, variance explained, training context, prepend_bos, ...).
    """

    where: Path
    format: str
    config: DictionaryConfig
    arrays: Mapping[str, FeatureArray]
    files: tuple[Path, ...]
    model_name: str = ""
    value_scale: str = "raw"
    centred: bool = False
    card: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        if not self.config.write_stream and self.d_in != self.d_out:
            raise ValueError(
                f"{self.where}: encodes {self.config.stream} {self.d_in} wide and decodes it {self.d_out} wide; "
                "a file is damaged, or belongs to another dictionary"
            )

    @property
    def layer(self) -> int:
        """The layer it belongs to."""
        return self.config.layers[0]

    @property
    def num_features(self) -> int:
        """F."""
        return self.arrays["b_enc"].shape[0]

    @property
    def d_in(self) -> int:
        """D, the width of the stream it reads."""
        return self.arrays["W_enc"].shape[0]

    @property
    def d_out(self) -> int:
        """O, the width of the stream it writes."""
        return self.arrays["W_dec"].shape[-1]


def origin_of(sources: Sequence[DictionarySource]) -> dict[str, Any]:
    """Format, model, scale of feature values, and the publisher's card of a stack.

    Args:
        sources: one a layer.

    Returns:
        `card` holds what all layers say alike as it is, and what they say differently as a list over the layers.
    """
    names = dict.fromkeys(name for source in sources for name in source.card)
    said = {name: [source.card.get(name) for source in sources] for name in names}
    texts = {
        "format": [source.format for source in sources],
        "model_name": [source.model_name for source in sources],
        "value_scale": [source.value_scale for source in sources],
    }
    alike = {name: values[0] if len(set(values)) == 1 else "; ".join(values) for name, values in texts.items()}
    card = {name: values[0] if all(v == values[0] for v in values) else values for name, values in said.items()}
    return {**alike, "card": card}
