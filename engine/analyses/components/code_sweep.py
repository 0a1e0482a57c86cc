"""Codes of neurons on many prompts as a resumable job: all that later steps need of the prompts.

The second-order effect of neuron n on prompt p is phi = s M (`engine/frozen/factored.py`): a code s of K numbers, one a
head of the layers above, times a map M of weights alone. Codes are kept, effects never are: they are K / D of the size.

    workdir/plan.json, units/, prompts.parquet      which prompt each row is, and where it was read
           /components.zarr/layer_{l} [row, M, K]        codes of the chosen neurons of layer l, in the dtype of sums

A unit is some batches of one pass each, of which all chosen layers are read. A prompt's codes are those of any batch
that it may be in (`engine/frozen/batches.py`), so neither order nor interruption changes a bit.

Shapes: P prompts, M neurons of a layer, K = H (layers above).
Cost: one forward pass a prompt and 2 T K M for each layer. On disk: P M K numbers a layer, before compression.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from causeway.engine.components import Components
from causeway.engine.frozen.factored import effect_codes
from causeway.engine.frozen.job import NeuronsJob, kept_array
from causeway.engine.frozen.neurons import ACTIVATIONS
from causeway.engine.frozen.record import record_rows
from causeway.engine.model.config import ModelConfig
from causeway.engine.neurons import Neurons
from causeway.engine.sweep.differences import differing_fields, in_words
from causeway.engine.sweep.layout import ArraySpec
from causeway.engine.sweep.plan import read_plan
from causeway.engine.sweep.store import Store


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


def array_name(layer: int) -> str:
    """Of the codes of a layer."""
    return f"layer_{layer}"


def _codes(shared: Any, own: Any, *, layers: tuple[int, ...]) -> tuple[dict[str, Array], Bool[Array, " B"]]:
    """Codes of every chosen layer, from one pass."""
    (transformer, neurons), (tokens, lengths, positions, _) = shared, own
    record = record_rows(transformer, tokens, lengths, (ACTIVATIONS,), None)
    found = {layer: effect_codes(record, layer, neurons[layer], positions) for layer in layers}
    return {array_name(layer): array for layer, array in found.items()}, jnp.all(record.finite, axis=1)


@dataclasses.dataclass(frozen=True)
class CodeSweep(NeuronsJob):
    """Codes of some neurons.

    Attributes:
        neurons: of layers below the last.

    Raises:
        ValueError: no prompts, or neurons without a second-order effect.
    """

    name, version, program = "components", "1", staticmethod(_codes)

    def __post_init__(self):
        if not self.prompts:
            raise ValueError("prompts: got none; needs one or more")
        check_layers(self.neurons, self.model.config)

    @property
    def arrays(self) -> Mapping[str, ArraySpec]:
        """Codes of each layer."""
        return {array_name(layer): self._spec(layer) for layer in self.neurons.layers}

    @property
    def size(self) -> str:
        """How large the codes are, in words."""
        each = ", ".join(
            f"{len(self.neurons.of(layer)):,} x {codes_of(self.model.config, layer)} of layer {layer}"
            for layer in self.neurons.layers
        )
        return f"codes of {len(self.prompts):,} prompts take {self.expected_bytes / 1e6:,.1f} MB: {each}"

    def _spec(self, layer: int) -> ArraySpec:
        own = self.neurons.of(layer)
        shape = (len(own), codes_of(self.model.config, layer))
        return ArraySpec(shape, self.model.numerics.accumulate, ("neuron", "head"), {"neuron": own.tolist()})


def neurons_of(components: Sequence[Components]) -> Neurons:
    """Neurons of some layers, in their order."""
    layers = np.concatenate([np.full(len(one.neuron), one.layer) for one in components])
    return Neurons(layers, np.concatenate([one.neuron for one in components]))


def check_finished(sweep: CodeSweep, workdir: Path) -> None:
    """Refuse codes that are of other prompts, neurons or weights, or not finished.

    Raises:
        ValueError: naming what differs. FileNotFoundError: there is no such run.
    """
    if differing := differing_fields(read_plan(workdir), sweep.plan.describe()):
        raise ValueError(f"{workdir} is of another run: {in_words(differing)}; give what it was made from")
    if (done := len(Store(workdir, sweep.plan).finished())) < sweep.plan.units:
        raise ValueError(f"{workdir}: {done} of {sweep.plan.units} units are finished; run `components` to its end")


@dataclasses.dataclass(frozen=True)
class StoredCodes:
    """Codes of a finished workdir.

    Attributes:
        sweep: whose they are. workdir: where it was run.
    """

    sweep: CodeSweep
    workdir: Path

    def of(self, layer: int, neurons: slice) -> Float[np.ndarray, "P m K"]:
        """Codes of some neurons."""
        return kept_array(self.sweep, self.workdir, array_name(layer), neurons)


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
        found = sweep.computed()
        return cls({layer: found[array_name(layer)] for layer in sweep.neurons.layers})

    def of(self, layer: int, neurons: slice) -> Float[np.ndarray, "P m K"]:
        """Codes of some neurons."""
        return self.layers[layer][:, neurons]
