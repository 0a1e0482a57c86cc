"""By how much each source is to change.

Shapes: L layers of the model, S layers of the dictionary in its order, F features, U features of a layer with a planned
value.
"""

import dataclasses
from typing import TypeAlias

import numpy as np
import pyarrow as pa
from jaxtyping import Float

from causeway.engine import scalars
from causeway.engine.analyses.pathways.readings import Planned
from causeway.engine.dictionary.dictionary import Dictionary

# An array is [L, F].
Change: TypeAlias = str | np.ndarray | pa.Table
# Counts of features with a value are multiples of it.
STEP = 8


@dataclasses.dataclass(frozen=True, eq=False)
class PlannedValues:
    """The value that each feature is to have.

    Attributes:
        table: [S, F], NaN of features that are not changed.
    """

    table: Float[np.ndarray, "S F"]

    @classmethod
    def of(cls, dictionary: Dictionary, change: Change, num_layers: int) -> "PlannedValues | None":
        """None where the change is the activation.

        Raises:
            ValueError: something else, features that the dictionaries lack, a feature twice, or no value at all.
        """
        if isinstance(change, str):
            if change == "activation":
                return None
            raise ValueError(f"change: got {change!r}; needs activation, values [layers, features] or a table of them")
        shape = (num_layers, dictionary.num_features)
        table = _of_rows(change, shape) if isinstance(change, pa.Table) else np.array(change, np.float64)
        if table.shape != shape:
            raise ValueError(
                f"change: values of shape {table.shape}; needs {shape}, one for each feature of each layer, NaN where "
                "it is not to be changed"
            )
        own = table[list(dictionary.config.layers)]
        if np.isinf(own).any() or not np.isfinite(own).any():
            raise ValueError("change: needs numbers, NaN where a feature is not to be changed, and one number at least")
        return cls(own)

    def packed(self, dtype: np.dtype) -> Planned:
        """Of every layer, [S, U]."""
        chosen = [np.flatnonzero(np.isfinite(row)) for row in self.table]
        width = min(-(-max(map(len, chosen)) // STEP) * STEP, self.table.shape[1])
        if width == self.table.shape[1]:
            ids = np.tile(np.arange(width, dtype=np.int32), (len(chosen), 1))
            return Planned(ids, np.nan_to_num(self.table).astype(dtype), np.isfinite(self.table))
        ids, values = np.zeros((len(chosen), width), np.int32), np.zeros((len(chosen), width), dtype)
        for place, own in enumerate(chosen):
            ids[place, : len(own)], values[place, : len(own)] = own, self.table[place, own]
        return Planned(ids, values, np.arange(width) < np.array([[len(own)] for own in chosen]))


def _of_rows(change: pa.Table, shape: tuple[int, int]) -> Float[np.ndarray, "L F"]:
    """Values from columns layer, feature and value."""
    if missing := sorted({"layer", "feature", "value"} - set(change.column_names)):
        raise ValueError(f"change: a table without {', '.join(missing)}; needs layer, feature and value")
    layer, feature = (scalars.integers(change[name].to_numpy(), f"change: {name}") for name in ("layer", "feature"))
    if outside := [pair for pair in zip(layer.tolist(), feature.tolist(), strict=True) if not np.all(pair < shape)]:
        raise ValueError(
            f"change: no feature {outside[0][1]} of layer {outside[0][0]}; needs those of the dictionaries"
        )
    if len(np.unique(np.stack([layer, feature]), axis=1).T) != len(layer):
        raise ValueError("change: a feature comes twice; give each one value")
    table = np.full(shape, np.nan)
    table[layer, feature] = change["value"].to_numpy(zero_copy_only=False)
    return table
