"""Numbers of every neuron on every prompt, by which right and wrong answers are to be told apart.

    activation     the neuron's activation at the token where the prompt is read
    direct         its score of order 0 on a direction: what it writes there directly (`second_order/scores.py`)
    second_order   its score of order 1: what it does through exactly one later head

Scores on the difference of the answers' logits are parts of the margin, by which prompts may have been labelled: they
then say which parts of the margin fall short on the prompts that go wrong.

All are readings of frozen passes, so that they last in a workdir; a layer is in memory at a time where they do.

Shapes: P prompts, L' layers, N neurons. Cost: a forward pass a prompt, and for scores the walk down.
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int

from causeway.engine import scalars
from causeway.engine.analyses.errors.separation import LayerValues
from causeway.engine.analyses.second_order.aims import aims_of
from causeway.engine.analyses.second_order.read_prompts import Scorable, answered, placed, read_prompts
from causeway.engine.analyses.second_order.scores import ScoresJob
from causeway.engine.devices import RowParallel
from causeway.engine.directions import Directions
from causeway.engine.frozen.job import FrozenJob, kept_array
from causeway.engine.frozen.neurons import ACTIVATIONS
from causeway.engine.frozen.record import recorded
from causeway.engine.model.config import ModelConfig
from causeway.engine.model.handle import Model
from causeway.engine.model.transformer import Transformer
from causeway.engine.neurons import Neurons
from causeway.engine.prompt_record import PromptRecord
from causeway.engine.sweep.differences import differing_fields, in_words
from causeway.engine.sweep.layout import ArraySpec
from causeway.engine.sweep.plan import read_plan

ACTIVATION = "activation"
# The order of the score that each measure is.
ORDERS: Mapping[str, int] = {"direct": 0, "second_order": 1}
MEASURES = (ACTIVATION, *ORDERS)


def _active(
    shared: tuple[Transformer, None], own: tuple[Array, Array, Array, Any], *, layers: Sequence[int]
) -> tuple[dict[str, Array], Bool[Array, " B"]]:
    """A batch's activations [B, L', N] where each prompt is read, and whether each row's pass gave numbers."""
    (transformer, _), (tokens, lengths, positions, _) = shared, own
    out, streams = recorded(transformer, tokens, lengths, (ACTIVATIONS,), None)
    found = streams[ACTIVATIONS][jnp.asarray(layers)[:, None], jnp.arange(len(tokens)), positions]
    values = jnp.moveaxis(found, 1, 0).astype(transformer.numerics.accumulate_dtype)
    return {"neurons": values}, jnp.all(out.finite, axis=1)


@dataclasses.dataclass(frozen=True)
class ActivationsJob(FrozenJob):
    """Activations of all neurons of some layers, [L', N] a prompt.

    Attributes:
        layers: whose neurons are kept.
    """

    name, version, program = "activations", "1", staticmethod(_active)
    layers: tuple[int, ...]

    @property
    def arrays(self) -> Mapping[str, ArraySpec]:
        """See the class."""
        shape, notes = (len(self.layers), self.model.config.d_ff), {"layers": list(self.layers)}
        return {"neurons": ArraySpec(shape, self.model.numerics.accumulate, ("layer", "neuron"), notes)}

    @property
    def settings(self) -> Mapping[str, Any]:
        """Layers."""
        return {"layers": self.layers}

    @property
    def static(self) -> Mapping[str, Any]:
        """What `_active` is compiled for."""
        return {"layers": self.layers}


def layer_values(
    job: ScoresJob | ActivationsJob, workdir: Path | None, measure: str, direction: int, neurons: Neurons | None,
    rows: Int[np.ndarray, " P"],
) -> Iterator[LayerValues]:  # fmt: skip
    """Values of each layer's neurons.

    Args:
        job: of the measure. workdir: where it is finished; None computes it here, in memory.
        direction: which of a `ScoresJob`'s. neurons: those wanted, None for all. rows: the prompts wanted.
    """
    index = (ORDERS[measure], direction) if isinstance(job, ScoresJob) else ()
    held = job.computed()["neurons"][(slice(None), slice(None), *index)] if workdir is None else None
    for place, layer in enumerate(job.layers):
        wanted = np.arange(job.model.config.d_ff) if neurons is None else neurons.of(layer)
        if not len(wanted):
            continue
        if held is not None:
            values = held[:, place]
        else:
            assert workdir is not None
            values = kept_array(job, workdir, "neurons", place, *index)
        yield layer, wanted, values[rows][:, wanted]


def readable(model: Model, record: PromptRecord, measure: str, directed: bool, position: str) -> Scorable:
    """A prompt with the token at which it is read: where its answers part for scores on these, else at `position`.

    Raises:
        ValueError: it cannot be read there.
    """
    return placed(model, record, position) if directed or measure == ACTIVATION else answered(model, record)


def measure_job(
    model: Model, listed: Sequence[Scorable], measure: str, layers: Sequence[int], directions: Directions | None,
    orders: int = 1, parallel: RowParallel | None = None,
) -> ScoresJob | ActivationsJob:  # fmt: skip
    """What reads the measure of prompts.

    Args:
        directions: of scores; None for the difference of each prompt's answers. orders: most attentions passed.
    """
    read = read_prompts(listed)
    if measure == ACTIVATION:
        return ActivationsJob(model, read, tuple(layers), parallel=parallel)
    contents = [prompt.record.content for prompt in listed]
    aims = aims_of(model, contents, directions or [prompt.target for prompt in listed if prompt.target])
    return ScoresJob(model, read, aims, tuple(layers), orders, parallel=parallel)


def layers_of(config: ModelConfig, layers: Sequence[int] | None, neurons: Neurons | None) -> tuple[int, ...]:
    """The layers read: those asked for, else the neurons', else all.

    Raises:
        ValueError: layers or neurons that the model does not have, or of which no neuron is named.
    """
    if neurons is not None:
        neurons.check_of(config)
    there = tuple(range(config.num_layers)) if neurons is None else neurons.layers
    asked = there if layers is None else scalars.layers(layers, config.num_layers)
    if extra := set(asked) - set(there):
        raise ValueError(f"layers: got {min(extra)}, of which no neuron is named; name layers of the neurons")
    return asked


def direction_number(job: ScoresJob | ActivationsJob, along: str | None) -> int:
    """Which direction is meant.

    Raises:
        ValueError: none of that name, or several and no name.
    """
    names = job.aims.names if isinstance(job, ScoresJob) else (ACTIVATION,)
    if along is None and len(names) > 1:
        raise ValueError(f"along: got nothing; there are the directions {', '.join(names)}; name one")
    if along is not None and along not in names:
        raise ValueError(f"along: got {along!r}; there {'is' if len(names) == 1 else 'are'} {', '.join(names)}")
    return 0 if along is None else names.index(along)


def check_scored(job: FrozenJob, workdir: Path) -> None:
    """Refuse a workdir with scores of other prompts, of another model or on other directions.

    Raises:
        ValueError: in what it differs.
        FileNotFoundError: it has no scores.
    """
    if differences := differing_fields(read_plan(workdir), job.plan.describe()):
        raise ValueError(
            f"scores: {workdir} has other scores than these prompts': {in_words(differences)}; score the same file of "
            "prompts with `second_order`"
        )
