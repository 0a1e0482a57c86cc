"""A finished sampled sweep as it lies on disk: which rows are of which feature, arm, prompt and trial, and what was
recorded of them. It is read without the sweep's model, so a run of `patch_sweep` that recorded will do.

Shapes: M rows, P prompts, S trials, N steps (0 is the last prompt token, step s the s-th new token as input).
Cost: the columns of the table that say what a row is, and the recordings of the rows asked for.
"""

import dataclasses
import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Bool, Float, Int

from causeway.engine.analyses.patch_sweep.arms import Arm
from causeway.engine.analyses.patch_sweep.trial_axes import EVERY
from causeway.engine.sweep.store import Store, finished_store

# (layer, feature, arm) of rows that stand for every feature.
BASELINE = (EVERY, EVERY, "baseline")
Key = tuple[int, int, str]
_COLUMNS = (
    "prompt_id",
    "group",
    "layer",
    "feature",
    "arm",
    "trial",
    "array_row",
    "value_before",
    "value_set",
    "tokens",
)


@dataclasses.dataclass(frozen=True)
class Recorded:
    """A finished store.

    Attributes:
        store: its files. table: what each row is.
    """

    store: Store
    table: pa.Table

    @classmethod
    def open(cls, workdir: Path, command: str) -> "Recorded":
        """The store of a finished run.

        Args:
            workdir: of the run. command: that makes it, for messages.

        Raises:
            FileNotFoundError: there is none. ValueError: it is damaged, is no sampled sweep, or recorded no features.
        """
        store = finished_store(workdir, "trials", command)
        reader = store.plan.config.get("settings", {}).get("recording", {}).get("reader")
        if "array_row" not in store.plan.layout.schema.names or not reader:
            raise ValueError(
                f"{workdir}: no features were recorded there; needs a `patch_sweep` with --outcome=sampled and "
                "--record_features, or let `replay` make the rollouts"
            )
        names = [name for name in _COLUMNS if name in store.plan.layout.schema.names]
        return cls(store, pq.read_table(store.table_path, columns=names, memory_map=False))

    @property
    def settings(self) -> Mapping[str, Any]:
        """Of the sweep, as its plan has them."""
        return self.store.plan.config["settings"]

    @property
    def recording(self) -> Mapping[str, Any]:
        """What was recorded: stream, layers, reader, width, ids, top_logits."""
        return self.settings["recording"]

    @property
    def trials(self) -> int:
        """S."""
        return int(self.settings["trials"])

    @property
    def steps(self) -> int:
        """N."""
        return sum(self.settings["segments"])

    def numbers(self, name: str) -> np.ndarray:
        """A column of numbers, [M]."""
        return self.table[name].to_numpy()

    @functools.cached_property
    def trial(self) -> Int[np.ndarray, " M"]:
        """The trial of each row."""
        return self.numbers("trial")

    @functools.cached_property
    def prompt_ids(self) -> Int[np.ndarray, " P"]:
        """Distinct ids, sorted."""
        return np.unique(self.numbers("prompt_id"))

    @functools.cached_property
    def group_of(self) -> list[str]:
        """The group of each prompt, [P]."""
        first = np.unique(self.numbers("prompt_id"), return_index=True)[1]
        return self.table["group"].take(first).to_pylist()

    @functools.cached_property
    def _places(self) -> Mapping[tuple[int, int, str, int], Int[np.ndarray, " n"]]:
        """Rows by layer, feature, arm and prompt, in the order of their trials."""
        arms = self.table["arm"].combine_chunks().dictionary_encode()
        names, code = arms.dictionary.to_pylist(), arms.indices.to_numpy()
        layer, feature, prompt = (self.numbers(name) for name in ("layer", "feature", "prompt_id"))
        order = np.lexsort((self.trial, prompt, code, feature, layer))
        keys = np.stack([layer, feature, code, prompt], axis=1)[order]
        starts = np.flatnonzero(np.r_[True, (np.diff(keys, axis=0) != 0).any(axis=1)])
        again = (np.diff(self.trial[order]) == 0) & (np.diff(keys, axis=0) == 0).all(axis=1)
        if again.any():
            twice = keys[1:][again][0]
            raise ValueError(
                f"trials: layer {twice[0]} feature {twice[1]}, arm {names[twice[2]]}, prompt {twice[3]} has a trial "
                "twice; needs each once"
            )
        parts = np.split(order, starts[1:])
        return {
            (int(n), int(f), names[a], int(p)): rows
            for (n, f, a, p), rows in zip(keys[starts].tolist(), parts, strict=True)
        }

    @functools.cached_property
    def keys(self) -> tuple[Key, ...]:
        """Every (layer, feature, arm) there is, sorted."""
        return tuple(sorted({key[:3] for key in self._places}))

    def rows_of(self, layer: int, feature: int, arm: str, prompt: int) -> Int[np.ndarray, " n"]:
        """Rows of a feature and arm in a prompt, by trial; none where it was not run."""
        return self._places.get((layer, feature, arm, prompt), np.zeros(0, np.int64))

    def tokens(self, row: int) -> list[int]:
        """The tokens a row wrote, or was given."""
        ends, ids = self._tokens
        return ids[ends[row] : ends[row + 1]].tolist()

    @functools.cached_property
    def _tokens(self) -> tuple[Int[np.ndarray, " rows"], Int[np.ndarray, " ids"]]:
        """Where each row's tokens begin, and those of all rows."""
        column = self.table["tokens"].combine_chunks()
        return column.offsets.to_numpy(), column.values.to_numpy()

    def array(self, name: str, rows: Int[np.ndarray, " n"]) -> np.ndarray:
        """Some rows of a recording, [n, ...]."""
        where = self.numbers("array_row")[rows]
        return np.asarray(self._arrays[name][where].read().result())

    @functools.cached_property
    def _arrays(self) -> Mapping[str, Any]:
        return {name: self.store.array(name) for name in self.store.plan.layout.arrays}

    def valid(self, rows: Int[np.ndarray, " n"]) -> Bool[np.ndarray, "n N"]:
        """Which steps rows have."""
        return self.array("valid", rows)

    def mean(self, name: str, rows: Int[np.ndarray, " n"]) -> Float[np.ndarray, ""]:
        """Mean of a column over rows."""
        return self.numbers(name)[rows].astype(np.float64).mean()


def is_edit(arm: str) -> bool:
    """Whether an arm sets a feature to a value; controls and ladders do not count."""
    return Arm.parse(arm).kind in ("patch", "ablate")
