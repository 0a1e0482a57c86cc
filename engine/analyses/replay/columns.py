"""The features that are read from a recording, as columns: their values at every step of some rows.

    selected   the features that were chosen when it was recorded
    all        any
    top_k      those that were among the strongest in at least `FEWEST_PROMPTS` prompts (or in all, of fewer). Where one
               is not among the strongest, its value is 0 if the weakest that was kept is 0, and otherwise unknown: it
               is taken for 0 and counted, and the share of such readings is a column of the results, `unseen`.

Shapes: n rows, N steps, T columns, L layers, K kept features. Cost: one reading of each row.
"""

import dataclasses
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Float, Int

from causeway.engine.analyses.replay.recorded import Recorded
from causeway.engine.analyses.screen.values import whole_numbers
from causeway.engine.stats.paired import FEWEST_PROMPTS

Pair = tuple[int, int]


@dataclasses.dataclass(frozen=True)
class Columns:
    """What is read, by layer and feature, sorted.

    Attributes:
        layer, feature: [T]. reported: [T], whether it is a target (sources are read even where they are none).
        place, slot: [T], where its layer and itself lie in the recording; of top_k the slot is a row's own.
    """

    layer: Int[np.ndarray, " T"]
    feature: Int[np.ndarray, " T"]
    reported: Bool[np.ndarray, " T"]
    place: Int[np.ndarray, " T"]
    slot: Int[np.ndarray, " T"]

    def __len__(self) -> int:
        return len(self.layer)

    def find(self, pair: Pair) -> int | None:
        """The place of a feature; None where it is not read."""
        found = np.flatnonzero((self.layer == pair[0]) & (self.feature == pair[1]))
        return int(found[0]) if len(found) else None


def pairs_of(table: pa.Table, name: str) -> list[Pair]:
    """The features of a table.

    Args:
        name: of the table, for the error.

    Raises:
        ValueError: no rows, or no whole numbers.
    """
    try:
        layer, feature = (whole_numbers(table, column).tolist() for column in ("layer", "feature"))
    except ValueError as error:
        raise ValueError(f"{name}: {str(error).removeprefix('features: ')}") from None
    if not layer:
        raise ValueError(f"{name}: the table has no rows; name at least one feature")
    return list(zip(layer, feature, strict=True))


def columns_of(recorded: Recorded, targets: Sequence[Pair] | None, sources: Sequence[Pair]) -> Columns:
    """The columns that are read.

    Args:
        targets: features whose change is asked; None for all that were recorded. sources: read with them, where they
            were recorded.

    Raises:
        ValueError: a target that was not recorded, or no target at all.
    """
    there = _recorded_pairs(recorded)
    wanted = there if targets is None else set(targets)
    lacking = sorted(wanted - there)
    if lacking and recorded.recording["reader"] != "top_k":
        raise ValueError(
            f"targets: {len(lacking)} of {len(wanted)} were not recorded, the first layer {lacking[0][0]} feature "
            f"{lacking[0][1]}; record them, or leave them out"
        )
    wanted = wanted & there
    if not wanted:
        raise ValueError("targets: none of them was recorded in any row; name others")
    listed = sorted(wanted | (set(sources) & there))
    layer, feature = np.array(listed).T
    place, slot = np.searchsorted(recorded.recording["layers"], layer), feature
    if recorded.recording["reader"] == "selected":
        ids = recorded.recording["ids"]
        slot = np.array([ids[p].index(f) for p, f in zip(place, feature.tolist(), strict=True)])
    return Columns(layer, feature, np.array([pair in wanted for pair in listed]), place, slot)


def _recorded_pairs(recorded: Recorded) -> set[Pair]:
    """Every feature that a recording has values of."""
    about = recorded.recording
    layers = about["layers"]
    if about["reader"] == "selected":
        return {(n, f) for n, row in zip(layers, about["ids"], strict=True) for f in row if f >= 0}
    if about["reader"] == "all":
        width = recorded.store.plan.layout.arrays["values"].row_shape[-1]
        return {(n, f) for n in layers for f in range(width)}
    return _seen(recorded)


def _seen(recorded: Recorded) -> set[Pair]:
    """Features among the strongest in enough prompts."""
    layers, prompt_of = recorded.recording["layers"], recorded.numbers("prompt_id")
    counts: Counter[Pair] = Counter()
    for prompt in recorded.prompt_ids:
        rows = np.flatnonzero(prompt_of == prompt)
        values, ids = recorded.array("values", rows), recorded.array("ids", rows)
        for place, layer in enumerate(layers):
            active = np.unique(ids[:, :, place][values[:, :, place] > 0])
            counts.update((layer, feature) for feature in active.tolist())
    enough = min(FEWEST_PROMPTS, len(recorded.prompt_ids))
    return {pair for pair, count in counts.items() if count >= enough}


@dataclasses.dataclass(frozen=True)
class Values:
    """Values of columns, [n, N, T]; `unseen` [n, N, T] where they are not known to be the 0 that they are taken for."""

    values: Float[np.ndarray, "n N T"]
    unseen: Bool[np.ndarray, "n N T"] | None = None


def read_values(recorded: Recorded, rows: Int[np.ndarray, " n"], columns: Columns) -> Values:
    """What was recorded of some rows."""
    values = recorded.array("values", rows)
    if recorded.recording["reader"] == "top_k":
        return _spread(values, recorded.array("ids", rows), columns)
    return Values(values[:, :, columns.place, columns.slot])


def _spread(
    values: Float[np.ndarray, "n N L K"], ids: Int[np.ndarray, "n N L K"], columns: Columns
) -> Values:  # fmt: skip
    """The strongest features of each layer in the columns that they are of."""
    out = np.zeros((*values.shape[:2], len(columns)), values.dtype)
    unseen = np.zeros(out.shape, bool)
    for layer in np.unique(columns.place):
        mine = np.flatnonzero(columns.place == layer)
        wanted = columns.feature[mine]
        at = np.minimum(np.searchsorted(wanted, ids[:, :, layer]), len(mine) - 1)
        row, step, rank = np.nonzero(wanted[at] == ids[:, :, layer])
        column = mine[at[row, step, rank]]
        unseen[:, :, mine] = (values[:, :, layer].min(axis=-1) > 0)[:, :, None]
        out[row, step, column] = values[row, step, layer, rank]
        unseen[row, step, column] = False
    return Values(out, unseen)
