"""The same neurons set to their means in the model itself, where everything above answers to it.

On each prompt three rows run, each an edit of neurons at all tokens: all chosen ones at their mean (`mean`), those
whose second-order effect is beyond its threshold on this prompt (`significant`), the others (`insignificant`). A
neuron's mean is that of its kind of token (`readings`). These are total effects, of which the second order is a part:
norms, later MLPs and attention patterns change with them. So what they do is compared with the output space's account,
and never expected to be it.

What remains of a neuron along a direction alone (`rank_1`, `sparse`) is no value that a neuron could have. As an edit
of the last norm's output it would be the output space's own number, so it is not run again.

Shapes: P prompts, R = 3 rows a prompt, E = 3 slots a neuron. Cost: 3 passes of a prompt from the lowest layer on.
"""

import dataclasses
import functools
from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Float, Int

from causeway.engine.analyses.ablate.outcomes import Outcomes, compared
from causeway.engine.analyses.ablate.readings import spans
from causeway.engine.devices import RowParallel
from causeway.engine.frozen.batches import ReadPrompt
from causeway.engine.intervention.edits import EMPTY, Edit, EditSpec
from causeway.engine.intervention.hold import checked_holds
from causeway.engine.model.buckets import bucket_width
from causeway.engine.model.finite import NotFiniteError
from causeway.engine.model.handle import Model
from causeway.engine.model.placement import numerics_of
from causeway.engine.neurons import Neurons
from causeway.engine.outcome.clean_passes import clean_passes, group_size
from causeway.engine.outcome.from_clean import Background, clean_last, last_tokens
from causeway.engine.sweep.fingerprint import array_sha256, config_sha256
from causeway.engine.sweep.job import Job
from causeway.engine.sweep.layout import Layout, UnitResult
from causeway.engine.sweep.plan import Plan

# Version of what a row means; raise it when the same settings would give other numbers.
ROWS_VERSION = "1"
MODES = ("mean", "significant", "insignificant")
SCHEMA = pa.schema([
    ("prompt", pa.int32()), ("mode", pa.string()), ("difference", pa.float64()), ("kl", pa.float64()),
])  # fmt: skip
# Slots of a unit's rows, at most.
UNIT_SLOTS = 1 << 23
_SPEC = EditSpec("mlp_act", "unit")


@dataclasses.dataclass(frozen=True)
class LiveSweep(Job):
    """Everything a unit needs.

    Attributes:
        model: loaded. prompts: read at their last token. pairs: [P, 2] tokens of the right and of the wrong answer.
        neurons: that are set. means: [3, M] of each layer, by kind of token. significant: [P, M] of each layer.
        parallel: devices to spread rows over (default: those of the weights).
    """

    model: Model
    prompts: tuple[ReadPrompt, ...]
    pairs: Int[np.ndarray, "P 2"]
    neurons: Neurons
    means: Mapping[int, Float[np.ndarray, "3 M"]]
    significant: Mapping[int, Bool[np.ndarray, "P M"]]
    parallel: RowParallel | None = None

    @functools.cached_property
    def plan(self) -> Plan:
        """Units, layout and everything that decides the numbers."""
        layers = self.neurons.layers
        arrays = [a for at in layers for a in (self.neurons.of(at), self.means[at], self.significant[at])]
        parts = {
            "weights": self.model.fingerprint,
            "prompts": config_sha256([[list(map(int, prompt.tokens)) for prompt in self.prompts], self.pairs.tolist()]),
            "edits": config_sha256([array_sha256(np.ascontiguousarray(array)) for array in arrays]),
            "version": ROWS_VERSION,
        }
        config = {"numerics": numerics_of(self.model.transformer), "layers": layers, "prompts": len(self.prompts)}
        sizes = tuple(len(MODES) * len(numbers) for numbers in self._units)
        return Plan("ablate", config, parts, sizes, Layout(SCHEMA, "live"), {"model": self.model.name})

    def unit(self, index: int) -> UnitResult:
        """Outcomes of all rows of some prompts."""
        numbers = self._units[index]
        pairs, held = self.pairs[numbers], checked_holds("open", self.model.config, None)
        try:
            tokens = [self.prompts[n].tokens for n in numbers]
            shared = clean_passes(self.model.transformer, tokens, held, parallel=self.parallel)
        except NotFiniteError as error:
            raise error.of(self.prompts[numbers[error.row]].name) from None
        background = Background(self.model.transformer, None, shared)
        clean = jnp.asarray(clean_last(background, logits=True)[: len(numbers)])
        prompts = np.repeat(np.arange(len(numbers)), len(MODES))
        difference, kl = (np.repeat(np.asarray(a, np.float64), len(MODES)) for a in _compared(clean, clean, pairs))
        try:
            edits = (self._edits(numbers),)
            for rows, last in last_tokens(background, edits, prompts, logits=True, parallel=self.parallel):
                own = prompts[rows]
                difference[rows], kl[rows] = _compared(clean[own], jnp.asarray(last), pairs[own])
        except NotFiniteError as error:
            number, mode = divmod(error.row, len(MODES))
            raise error.of(f"{self.prompts[numbers[number]].name}, {MODES[mode]}") from None
        found = {"prompt": np.repeat(numbers, len(MODES)), "mode": list(MODES) * len(numbers)}
        return UnitResult({**found, "difference": difference, "kl": kl})

    @functools.cached_property
    def _units(self) -> list[list[int]]:
        """Numbers of the prompts of each unit, all of one bucket."""
        buckets: dict[int, list[int]] = {}
        for number, prompt in enumerate(self.prompts):
            buckets.setdefault(bucket_width(len(prompt.tokens)), []).append(number)
        most = max(1, UNIT_SLOTS // (9 * len(self.neurons.neuron)))
        sizes = {width: min(most, group_size(self.model.config, width)) for width in buckets}
        return [
            numbers[start : start + sizes[width]]
            for width, numbers in sorted(buckets.items())
            for start in range(0, len(numbers), sizes[width])
        ]

    def _edits(self, numbers: Sequence[int]) -> Edit:
        """Slots of all rows, [3 prompts, 3 neurons]: those of one kind of token after another."""
        layers = self.neurons.layers
        layer = np.concatenate([np.full(len(self.neurons.of(at)), at) for at in layers])
        neuron = np.concatenate([self.neurons.of(at) for at in layers])
        means = np.concatenate([self.means[at] for at in layers], axis=1)
        beyond = np.concatenate([self.significant[at][list(numbers)] for at in layers], axis=1)
        set_ = np.stack([np.ones_like(beyond), beyond, ~beyond], axis=1).reshape(-1, 1, len(neuron))
        tokens = np.array([spans(len(self.prompts[n].tokens)) for n in numbers]).repeat(len(MODES), axis=0)[..., None]
        start, stop = (np.broadcast_to(tokens[:, :, i], (len(set_), 3, len(neuron))) for i in (0, 1))
        acts = set_ & (start < stop)

        def slots(values: np.ndarray | float, dtype: type) -> np.ndarray:
            return np.broadcast_to(values, acts.shape).reshape(len(acts), -1).astype(dtype)

        feature = slots(neuron, np.int32)
        return Edit(
            slots(np.where(acts, layer, EMPTY), np.int32), feature, slots(start, np.int32), slots(stop, np.int32),
            scale=slots(0.0, np.float32), shift=slots(means, np.float32), writer=feature, spec=_SPEC,
        )  # fmt: skip


_compared = jax.jit(compared)


def by_mode(tables: Sequence[pa.Table], count: int) -> dict[str, Outcomes]:
    """Outcomes of each mode, in the order of the prompts.

    Args:
        tables: of all units. count: of prompts.
    """
    whole = pa.concat_tables(tables)
    mode, prompt = np.array(whole["mode"].to_pylist()), whole["prompt"].to_numpy()
    found = {}
    for name in MODES:
        rows = np.flatnonzero(mode == name)
        order = rows[np.argsort(prompt[rows])]
        assert len(order) == count
        found[name] = Outcomes(*(whole[column].to_numpy()[order] for column in ("difference", "kl")))
    return found
