"""What many prompts' frozen passes are read for, as a job that lasts: the part that all such readings share.

A reading gives a program of a batch (`program`), what it is compiled for, and the arrays that come of it, [B, ...].
A unit is some batches (`batches`); its rows are prompts, with a table that says which.
"""

import dataclasses
import functools
import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from jaxtyping import Float, Int

from causeway.engine.devices import RowParallel, parallel_of
from causeway.engine.frozen.batches import Batch, BatchProgram, ReadPrompt, deal, run_batches
from causeway.engine.model.handle import Model
from causeway.engine.model.placement import numerics_of
from causeway.engine.model.transformer import Transformer
from causeway.engine.neurons import Neurons
from causeway.engine.sweep.fingerprint import config_sha256
from causeway.engine.sweep.job import Job, run_whole
from causeway.engine.sweep.layout import ArraySpec, Layout, UnitResult
from causeway.engine.sweep.plan import Plan
from causeway.engine.sweep.store import Store

UNIT_BATCHES = 4
# Of a unit's arrays, at most; one batch may take more.
UNIT_BYTES = 2**29
SCHEMA = pa.schema([("prompt", pa.int32()), ("tokens", pa.int32()), ("position", pa.int32())])


@dataclasses.dataclass(frozen=True)
class FrozenJob(Job):
    """A reading of prompts' frozen passes.

    Attributes:
        model: loaded. prompts: each with the token that is read.
        parallel: devices to spread rows over (default: those of the weights).
        name: of the job. version: of what a row means; raised when the same settings would give other numbers.
    """

    name: ClassVar[str]
    version: ClassVar[str]
    program: ClassVar[BatchProgram]
    model: Model
    prompts: tuple[ReadPrompt, ...]
    parallel: RowParallel | None = dataclasses.field(default=None, kw_only=True)

    @property
    def arrays(self) -> Mapping[str, ArraySpec]:
        """What is kept of a prompt, by name."""
        raise NotImplementedError

    @property
    def settings(self) -> Mapping[str, Any]:
        """JSON-able: what decides the numbers beside the model and the prompts."""
        raise NotImplementedError

    @property
    def digests(self) -> Mapping[str, str]:
        """The same of large arrays."""
        return {}

    @property
    def static(self) -> Mapping[str, Any]:
        """What the program is compiled for."""
        raise NotImplementedError

    @property
    def shared(self) -> Any:
        """Arrays that all prompts share, beside the model."""
        return None

    def extra(self, numbers: list[int]) -> Any:
        """Arrays [B, ...] of some prompts."""
        return ()

    @functools.cached_property
    def plan(self) -> Plan:
        """Units, layout and everything that decides the numbers."""
        numerics = numerics_of(self.model.transformer)
        config = {"numerics": numerics, "prompts": len(self.prompts), **self.settings}
        rows = config_sha256([[prompt.tokens, prompt.position] for prompt in self.prompts])
        parts = {"weights": self.model.fingerprint, "rows": rows, "version": self.version, **self.digests}
        sizes = tuple(sum(map(len, batches)) for batches in self._units)
        layout = Layout(SCHEMA, "prompts", self.arrays, self.name)
        return Plan(self.name, config, parts, sizes, layout, {"model": self.model.name})

    @property
    def expected_bytes(self) -> int:
        """Of the arrays, before compression."""
        return self.plan.rows * self.plan.layout.array_row_bytes

    def unit(self, index: int) -> UnitResult:
        """The arrays of one unit's prompts."""
        numbers: list[int] = []
        parts: list[dict[str, np.ndarray]] = []
        devices, transformer, shared = self._placed
        for batch, arrays in run_batches(
            devices, transformer, self.prompts, self._units[index], type(self).program, self._extra, shared,
            **self.static,
        ):  # fmt: skip
            numbers += batch.numbers
            parts.append(arrays)
        prompts = [self.prompts[number] for number in numbers]
        rows = {
            "prompt": numbers, "tokens": [len(prompt.tokens) for prompt in prompts],
            "position": [prompt.position for prompt in prompts],
        }  # fmt: skip
        return UnitResult(rows, {name: np.concatenate([part[name] for part in parts]) for name in parts[0]})

    def computed(self) -> dict[str, np.ndarray]:
        """All arrays in the order of the prompts, without a workdir."""
        order: list[int] = []
        parts: dict[str, list[np.ndarray]] = {name: [] for name in self.arrays}
        for index in range(self.plan.units):
            result = self.unit(index)
            order += result.rows["prompt"]
            for name, array in result.arrays.items():
                parts[name].append(array)
        back = np.argsort(order)
        return {name: np.concatenate(pieces)[back] for name, pieces in parts.items()}

    @functools.cached_property
    def _units(self) -> list[list[tuple[int, ...]]]:
        batches = deal(self.prompts, self.model.config)
        most = max(map(len, batches)) * sum(spec.row_bytes for spec in self.arrays.values())
        size = max(1, min(UNIT_BATCHES, UNIT_BYTES // most))
        return [batches[start : start + size] for start in range(0, len(batches), size)]

    @functools.cached_property
    def _placed(self) -> tuple[RowParallel, Transformer, Any]:
        devices = self.parallel or parallel_of(self.model.transformer)
        return devices, devices.replicate(self.model.transformer), devices.replicate(self.shared)

    def _extra(self, batch: Batch) -> Any:
        """Of a batch, its fillers' among them."""
        last = itertools.repeat(batch.numbers[-1], len(batch.tokens) - len(batch.numbers))
        return self.extra([*batch.numbers, *last])


@dataclasses.dataclass(frozen=True)
class NeuronsJob(FrozenJob):
    """A reading of chosen neurons, layer by layer; its program's `shared` are their numbers by layer.

    Attributes:
        neurons: whose.
    """

    neurons: Neurons

    @property
    def settings(self) -> Mapping[str, Any]:
        """The layers."""
        return {"layers": self.neurons.layers}

    @property
    def digests(self) -> Mapping[str, str]:
        """Of the neurons."""
        return {"neurons": config_sha256([[layer, self.neurons.of(layer).tolist()] for layer in self.neurons.layers])}

    @property
    def static(self) -> Mapping[str, Any]:
        """The layers."""
        return {"layers": self.neurons.layers}

    @property
    def shared(self) -> dict[int, Int[np.ndarray, " M"]]:
        """Numbers of each layer's neurons."""
        return {layer: self.neurons.of(layer).astype(np.int32) for layer in self.neurons.layers}


def all_arrays(job: FrozenJob, workdir: Path | None) -> dict[str, np.ndarray]:
    """All arrays in the order of the prompts, computed where they are missing.

    Args:
        workdir: where they are kept, and where the same call goes on; None keeps nothing.

    Raises:
        ValueError: the workdir holds another job.
        Stopped: by a signal or a full disk; what is finished is kept.
    """
    if workdir is None:
        return job.computed()
    run_whole(job, workdir)
    return {name: kept_array(job, workdir, name) for name in job.arrays}


def kept_rows(job: FrozenJob, workdir: Path) -> Int[np.ndarray, " P"]:
    """The row of a finished workdir's arrays that each prompt has."""
    numbers = [table["prompt"].to_numpy() for table in Store(workdir, job.plan).tables()]
    starts = np.arange(len(numbers)) * job.plan.rows_per_unit
    rows = np.concatenate([start + np.arange(len(own)) for start, own in zip(starts, numbers, strict=True)])
    return rows[np.argsort(np.concatenate(numbers))]


def kept_array(job: FrozenJob, workdir: Path, name: str, *index: slice | int) -> Float[np.ndarray, "P ..."]:
    """An array of a finished workdir in the order of the prompts; `index` takes a part of each prompt's."""
    array = Store(workdir, job.plan).array(name)
    return np.asarray(array[(slice(None), *index)].read().result())[kept_rows(job, workdir)]
