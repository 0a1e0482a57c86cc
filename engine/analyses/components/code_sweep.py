"""Codes of neurons on many prompts as a resumable job: all that later steps need of the prompts.

The second-order effect of neuron n on prompt p is phi = s M (`engine/frozen/factored.py`): a code s of K numbers, one a
head of the layers above, times a map M of weights alone. Codes are kept, effects never are: they are K / D of the size.

    workdir/plan.json, units/, prompts.parquet      which prompt each row is, and where it was read
           /codes.zarr/layer_{l} [row, M, K]        codes of the chosen neurons of layer l, in the dtype of sums

A unit is some batches of one pass each, of which all chosen layers are read. A prompt's codes are those of any batch
that it may be in (`engine/frozen/batches.py`), so neither order nor interruption changes a bit.

Shapes: P prompts, M neurons of a layer, K = H (layers above).
Cost: one forward pass a prompt and 2 T K M for each layer. On disk: P M K numbers a layer, before compression.
"""

import dataclasses
import functools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import jax.numpy as jnp
import numpy as np
import pyarrow as pa
from jaxtyping import Array, Bool, Float, Int

from causeway.engine.devices import RowParallel
from causeway.engine.frozen.batches import Batch, ReadPrompt, deal, run_batches
from causeway.engine.frozen.factored import effect_codes
from causeway.engine.frozen.neurons import ACTIVATIONS
from causeway.engine.frozen.record import record_rows
from causeway.engine.model.config import ModelConfig
from causeway.engine.model.handle import Model
from causeway.engine.model.transformer import Transformer
from causeway.engine.neurons import Neurons
from causeway.engine.sweep.fingerprint import config_sha256
from causeway.engine.sweep.job import Job
from causeway.engine.sweep.layout import ArraySpec, Layout, UnitResult
from causeway.engine.sweep.plan import Plan
from causeway.engine.sweep.store import Store

# Version of what a row means; raise it when the same settings would give other numbers.
ROWS_VERSION = "1"
# Codes of a unit, at most, in bytes; at least one batch.
UNIT_BYTES = 2**28
SCHEMA = pa.schema([("prompt", pa.int32()), ("id", pa.string()), ("position", pa.int32())])


class Codes(Protocol):
    """Codes that can be read, a few neurons at a time."""

    def of(self, layer: int, neurons: slice) -> Float[np.ndarray, "P m K"]:
        """Those of some of a layer's chosen neurons, by place among them, on all prompts in their order."""
        ...


def codes_of(config: ModelConfig, layer: int) -> int:
    """K of a layer: heads above it."""
    return config.num_heads * (config.num_layers - 1 - layer)


def check_layers(neurons: Neurons, config: ModelConfig) -> None:
    """Refuse neurons that have no second-order effect, or that the model does not have.

    Raises:
        ValueError: naming the first.
    """
    neurons.check_of(config)
    if (last := config.num_layers - 1) in neurons.layers:
        raise ValueError(
            f"neurons: got {last}:{neurons.of(last)[0]}; no attention is above layer {last}, the last one, so its "
            "neurons have no second-order effect; leave it out"
        )


@dataclasses.dataclass(frozen=True)
class CodeSweep(Job):
    """Everything a unit needs.

    Attributes:
        model: loaded. prompts: with the position each is read at. neurons: of layers below the last. parallel: devices.

    Raises:
        ValueError: no prompts, or neurons without a second-order effect.
    """

    model: Model
    prompts: tuple[ReadPrompt, ...]
    neurons: Neurons
    parallel: RowParallel

    def __post_init__(self):
        if not self.prompts:
            raise ValueError("prompts: got none; needs one or more")
        check_layers(self.neurons, self.model.config)

    @functools.cached_property
    def plan(self) -> Plan:
        """Units, layout and everything that decides the numbers."""
        layers = self.neurons.layers
        parts = {
            "weights": self.model.fingerprint,
            "prompts": config_sha256([[list(map(int, prompt.tokens)), prompt.position] for prompt in self.prompts]),
            "neurons": config_sha256([[layer, self.neurons.of(layer).tolist()] for layer in layers]),
            "version": ROWS_VERSION,
        }
        config = {
            "numerics": dataclasses.asdict(self.model.numerics), "layers": layers, "prompts": len(self.prompts),
            "batches": [[len(numbers) for numbers in unit] for unit in self._units],
        }  # fmt: skip
        arrays = {array_name(layer): self._spec(layer) for layer in layers}
        sizes = tuple(sum(map(len, unit)) for unit in self._units)
        layout = Layout(SCHEMA, "prompts", arrays, "codes")
        return Plan("components", config, parts, sizes, layout, {"model": self.model.name})

    def unit(self, index: int) -> UnitResult:
        """Codes of the prompts of one unit."""
        layers = self.neurons.layers
        shared = {layer: jnp.asarray(self.neurons.of(layer), jnp.int32) for layer in layers}
        made = run_batches(
            self.parallel, self._placed, self.prompts, self._units[index], _codes,
            shared=self.parallel.replicate(shared), layers=layers,
        )  # fmt: skip
        numbers, found = _joined(made, layers)
        rows = {
            "prompt": numbers, "id": [self.prompts[number].name for number in numbers],
            "position": [self.prompts[number].position for number in numbers],
        }  # fmt: skip
        return UnitResult(rows, {array_name(layer): found[layer] for layer in layers})

    @property
    def expected_bytes(self) -> int:
        """Codes before compression, which takes little off them."""
        return len(self.prompts) * self._row_bytes

    @property
    def size(self) -> str:
        """How large the codes are, in words."""
        each = ", ".join(
            f"{len(self.neurons.of(layer)):,} x {codes_of(self.model.config, layer)} of layer {layer}"
            for layer in self.neurons.layers
        )
        return f"codes of {len(self.prompts):,} prompts take {self.expected_bytes / 1e6:,.1f} MB: {each}"

    @functools.cached_property
    def _placed(self) -> Transformer:
        return self.parallel.replicate(self.model.transformer)

    @functools.cached_property
    def _units(self) -> list[list[tuple[int, ...]]]:
        """Batches of each unit."""
        units: list[list[tuple[int, ...]]] = []
        held = 0
        for numbers in deal(self.prompts, self.model.config):
            size = len(numbers) * self._row_bytes
            if not units or held + size > UNIT_BYTES:
                units, held = [*units, []], 0
            units[-1].append(numbers)
            held += size
        return units

    @property
    def _row_bytes(self) -> int:
        return sum(self._spec(layer).row_bytes for layer in self.neurons.layers)

    def _spec(self, layer: int) -> ArraySpec:
        own = self.neurons.of(layer)
        shape = (len(own), codes_of(self.model.config, layer))
        return ArraySpec(shape, self.model.numerics.accumulate, ("neuron", "head"), {"neuron": own.tolist()})


def array_name(layer: int) -> str:
    """Of the codes of a layer."""
    return f"layer_{layer}"


def _codes(shared: Any, own: Any, layers: tuple[int, ...]) -> tuple[dict[int, Array], Bool[Array, " B"]]:
    """Codes of every chosen layer, from one pass."""
    (transformer, neurons), (tokens, lengths, positions, _) = shared, own
    record = record_rows(transformer, tokens, lengths, (ACTIVATIONS,), "last")
    found = {layer: effect_codes(record, layer, neurons[layer], positions) for layer in layers}
    return found, jnp.all(record.finite, axis=1)


def _joined(
    made: Iterator[tuple[Batch, dict[int, np.ndarray]]], layers: Sequence[int]
) -> tuple[list[int], dict[int, Float[np.ndarray, "row M K"]]]:
    """Numbers of the prompts and their codes, batch after batch."""
    batches = list(made)
    numbers = [number for batch, _ in batches for number in batch.numbers]
    return numbers, {layer: np.concatenate([np.asarray(found[layer]) for _, found in batches]) for layer in layers}


@dataclasses.dataclass(frozen=True)
class StoredCodes:
    """Codes of a finished workdir.

    Attributes:
        store: of the sweep.
    """

    store: Store

    @classmethod
    def of_sweep(cls, sweep: CodeSweep, workdir: Path) -> "StoredCodes":
        """Those that a sweep has written."""
        return cls(Store(workdir, sweep.plan))

    @functools.cached_property
    def _rows(self) -> list[Int[np.ndarray, " row"]]:
        """Numbers of the prompts of each unit."""
        return [table["prompt"].to_numpy() for table in self.store.tables()]

    def of(self, layer: int, neurons: slice) -> Float[np.ndarray, "P m K"]:
        """Codes of some neurons, a unit after another."""
        array, most = self.store.array(array_name(layer)), self.store.plan.rows_per_unit
        found: np.ndarray | None = None
        for unit, numbers in enumerate(self._rows):
            read = array[unit * most : unit * most + len(numbers), neurons].read().result()
            if found is None:
                found = np.empty((self.store.plan.rows, *read.shape[1:]), read.dtype)
            found[numbers] = read
        assert found is not None
        return found


@dataclasses.dataclass(frozen=True)
class HeldCodes:
    """Codes in memory.

    Attributes:
        layers: [P, M, K] of each layer.
    """

    layers: Mapping[int, Float[np.ndarray, "P M K"]]

    @classmethod
    def of_sweep(cls, sweep: CodeSweep) -> "HeldCodes":
        """Those of a sweep of which nothing is kept on disk."""
        units = [sweep.unit(index) for index in range(sweep.plan.units)]
        order = np.argsort(np.concatenate([np.asarray(unit.rows["prompt"]) for unit in units]))
        names = {layer: array_name(layer) for layer in sweep.neurons.layers}
        return cls({at: np.concatenate([unit.arrays[name] for unit in units])[order] for at, name in names.items()})

    def of(self, layer: int, neurons: slice) -> Float[np.ndarray, "P m K"]:
        """Codes of some neurons."""
        return self.layers[layer][:, neurons]
