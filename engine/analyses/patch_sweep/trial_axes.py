"""The axes of a trials table: which features, arms and prompts it holds, and in which cell each row falls.

A row with feature -1 (or null) stands for every feature of its layer, and with layer -1 too for every feature: that is
how a baseline, which depends on the prompt alone, is run and stored once.

Shapes: F (layer, feature) pairs, A arms, P prompts. Cost: one pass over the axis columns.
"""

import dataclasses

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset
from jaxtyping import Int

EVERY = -1
COLUMNS = ("prompt_id", "group", "layer", "feature", "arm")


@dataclasses.dataclass(frozen=True)
class TrialAxes:
    """Sorted axis values.

    Attributes:
        pairs: [pairs, 2] of (layer, feature): the `kept` real ones first, then those that stand for every one.
        arms: names. prompt_ids: [P]. group_of: [P] names.
    """

    pairs: Int[np.ndarray, "pairs 2"]
    kept: int
    arms: tuple[str, ...]
    prompt_ids: Int[np.ndarray, " P"]
    group_of: np.ndarray

    @classmethod
    def of(cls, dataset: pyarrow.dataset.Dataset) -> "TrialAxes":
        """Axes of a trials table, in one pass.

        Raises:
            ValueError: no row has a feature, or a prompt is in two groups.
        """
        keys, arms, prompts = [np.zeros(0, np.int64)], set(), set()
        for batch in dataset.to_batches(columns=list(COLUMNS)):
            keys.append(np.unique(_pair_keys(batch)))
            arms |= set(pc.unique(text(batch["arm"])).to_pylist())
            labels = pa.table({"prompt_id": batch["prompt_id"], "group": text(batch["group"])})
            seen = labels.group_by(["prompt_id", "group"])
            prompts |= {(row["prompt_id"], row["group"]) for row in seen.aggregate([]).to_pylist()}
        key = np.unique(np.concatenate(keys))
        pairs = np.stack([(key >> 32) - 1, (key & 0xFFFFFFFF) - 1], axis=1)
        shared = pairs[:, 1] == EVERY
        if shared.all():
            raise ValueError(f"trials: {len(pairs)} (layer, feature) pairs, none with a feature; needs patched rows")
        group = dict(prompts)
        if len(group) != len(prompts):
            raise ValueError(f"trials: {len(prompts) - len(group)} prompt ids are in two groups; give each its own id")
        ids = sorted(group)
        ordered = np.concatenate([pairs[~shared], pairs[shared]])
        groups = np.asarray([str(group[i]) for i in ids])
        return cls(ordered, int((~shared).sum()), tuple(sorted(arms)), np.asarray(ids, dtype=np.int64), groups)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Pairs (shared ones included), arms, prompts."""
        return len(self.pairs), len(self.arms), len(self.prompt_ids)

    def index(self, batch: pa.RecordBatch) -> Int[np.ndarray, " rows"]:
        """Flat index of each row's cell."""
        keys = _join(self.pairs[:, 0], self.pairs[:, 1])
        order = np.argsort(keys)
        pair = order[np.searchsorted(keys[order], _pair_keys(batch))]
        arm = pc.index_in(text(batch["arm"]), value_set=pa.array(self.arms)).to_numpy(zero_copy_only=False)
        prompt = np.searchsorted(self.prompt_ids, batch["prompt_id"].to_numpy(zero_copy_only=False))
        return (pair * len(self.arms) + arm) * len(self.prompt_ids) + prompt


def text(column: pa.Array) -> pa.Array:
    """Plain strings, also from a column stored as a dictionary."""
    return column.cast(pa.string())


def _pair_keys(batch: pa.RecordBatch) -> Int[np.ndarray, " rows"]:
    layer, feature = (pc.fill_null(batch[name], EVERY).to_numpy(zero_copy_only=False) for name in ("layer", "feature"))
    return _join(layer.astype(np.int64), feature.astype(np.int64))


def _join(layer: Int[np.ndarray, " n"], feature: Int[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
    """One int64 that sorts as (layer, feature); -1 is the least value of either."""
    return ((layer + 1) << 32) | (feature + 1)
