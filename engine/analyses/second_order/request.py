"""`cw.second_order`: what every neuron does to a direction through later heads, asked for in a notebook."""

import dataclasses
import functools
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pyarrow as pa
from jaxtyping import Float

from causeway.engine import scalars
from causeway.engine.analyses.represent.request import prompt_record
from causeway.engine.analyses.second_order import tables
from causeway.engine.analyses.second_order.aims import AnyDirections, aims_of
from causeway.engine.analyses.second_order.heads import heads_of
from causeway.engine.analyses.second_order.read_prompts import answered, placed, read_prompts
from causeway.engine.analyses.second_order.scores import ScoresJob
from causeway.engine.model.handle import Model, Prompt, check_model
from causeway.engine.neurons import Neurons
from causeway.engine.prompt_record import PromptRecord


@dataclasses.dataclass(frozen=True, eq=False)
class SecondOrder:
    """Scores of many prompts.

    Attributes:
        names: of the R directions. layers: whose neurons are scored.
        scores: [P, L', O, R, N]: order 0 is what a neuron writes to the token directly, order 1 what it does through
            exactly one later head.
        mlp_biases, attention: [P, L, O, R] of MLPs' biases, and of what attention writes whatever it reads.
        embedding: [P, O, R] of the stream before the first block.
        value: [P, R]: the number that all layers' parts and those of higher orders add up to.
    """

    names: tuple[str, ...]
    layers: tuple[int, ...]
    scores: Float[np.ndarray, "P L O R N"]
    mlp_biases: Float[np.ndarray, "P _ O R"]
    attention: Float[np.ndarray, "P _ O R"]
    embedding: Float[np.ndarray, "P O R"]
    value: Float[np.ndarray, "P R"]
    job: ScoresJob = dataclasses.field(repr=False)

    @functools.cached_property
    def table(self) -> pa.Table:
        """A row for each neuron and direction, the strongest second-order effects first (`tables`)."""
        return tables.neuron_table([tables.neuron_rows(at, self.names, scores) for at, scores in self._each()])

    @property
    def by_layer(self) -> pa.Table:
        """A row for each layer, order and direction: sums over neurons, mass, and biases."""
        rows = [tables.layer_rows(at, self.names, scores) for at, scores in self._each()]
        return tables.layer_table(rows, self.mlp_biases, self.attention)

    def _each(self) -> Iterator[tuple[int, np.ndarray]]:
        return zip(self.layers, np.moveaxis(self.scores, 1, 0), strict=True)

    def heads(self, neurons: Neurons | int = 20) -> pa.Table:
        """The second-order score of some neurons, split by the head that it passes.

        Args:
            neurons: which ones, or how many of each direction's strongest.

        Raises:
            ValueError: neurons that the model does not have, or only such above which no head stands.
        """
        chosen = neurons if isinstance(neurons, Neurons) else tables.strongest(self.table, neurons)
        job = heads_of(self.job, chosen)
        return tables.head_table(job.neurons, self.names, job.computed()["heads"])

    def __repr__(self) -> str:
        first = self.table.slice(0, 1).to_pylist()[0]
        return (
            f"SecondOrder({len(self.value)} prompts, {len(self.layers)} layers, {self.scores.shape[-1]} neurons each; "
            f"most: {first['layer']}:{first['neuron']} on {first['direction']} {first['effect']:+.3g})"
        )


def second_order(
    model: Model,
    prompts: Sequence[Prompt | tuple[str, str, str] | PromptRecord],
    *,
    directions: AnyDirections | None = None,
    layers: Sequence[int] | None = None,
    orders: int = 1,
    position: str = "last",
) -> SecondOrder:
    """Second-order effects of all neurons, exactly: what each does to a direction through exactly one later head.

    Gandelsman, Efros and Steinhardt (2025) define them for CLIP, whose code runs each layer's neurons through each
    later head; here one walk down a prompt's frozen pass scores every neuron of every layer.

    Args:
        model: a loaded model.
        prompts: (prompt, right answer, wrong answer), texts; or with `directions` texts or token ids, or records.
        directions: `Directions`, a target for all prompts, or one a prompt; None: the right less the wrong answer's
            logit of each prompt.
        layers: whose neurons are kept; default: all.
        orders: most attentions passed: 1, or more to see how fast effects of higher order fall off.
        position: the token read, by default the last; a place of one token by number or name. With answers it is
            where these part.

    Raises:
        ValueError: prompts without answers where no direction is given, directions of another model, layers or
            positions that there are not.
        NotFiniteError: a prompt's pass does not give numbers.
    """
    check_model(model)
    if isinstance(prompts, str | bytes | Mapping) or not isinstance(prompts, Sequence) or not len(prompts):
        raise ValueError(f"prompts: got {scalars.shown(prompts)}; needs a list of (prompt, right, wrong), or of texts")
    count = model.config.num_layers
    wanted = scalars.layers(range(count) if layers is None else layers, count)
    place = scalars.text(position, "position")
    most = scalars.integer(orders, "orders", 1, count)
    records = [prompt_record(number, prompt) for number, prompt in enumerate(prompts)]
    if directions is None:
        if place != "last":
            raise ValueError(f"position: got {place!r}, but without directions a prompt is read where its answers part")
        listed = [answered(model, record) for record in records]
        aims = aims_of(model, [r.content for r in records], [s.target for s in listed if s.target])
    else:
        listed = [placed(model, record, place) for record in records]
        aims = aims_of(model, [r.content for r in records], directions)
    job = ScoresJob(model, read_prompts(listed), aims, wanted, most)
    found = job.computed()
    return SecondOrder(aims.names, job.layers, found.pop("neurons"), **found, job=job)
