"""Ablations of what layers write, each run: every prompt under every arm, with nothing held.

An arm puts zero, or the mean, in place of what a layer's MLP (or attention) writes, at all tokens that count or at the
output position alone; the mean is that of the same kind of tokens. `cw.effects` runs arms from where they differ.

With a workdir the arms are a job in units of prompts, so that the same call goes on where it was stopped.
Cost: an arm at all tokens runs the prompt through the layers from its own up, one at the output position one token.
"""

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from jaxtyping import Float

from causeway.engine.analyses.attribute.targets import logit_difference
from causeway.engine.analyses.lens.effects import Effects, effects
from causeway.engine.analyses.rank.questions import Question
from causeway.engine.analyses.rank.readings import MODES, SCOPES
from causeway.engine.devices import RowParallel
from causeway.engine.intervention.requests import SwapEdit
from causeway.engine.model.finite import NotFiniteError
from causeway.engine.model.handle import Model
from causeway.engine.model.placement import numerics_of
from causeway.engine.reading.job import Kept
from causeway.engine.sweep import job
from causeway.engine.sweep.fingerprint import array_sha256, config_sha256
from causeway.engine.sweep.layout import Layout, UnitResult
from causeway.engine.sweep.plan import Plan

UNIT_PROMPTS = 16
# Version of what a row means; raise it when the same settings would give other numbers.
ROWS_VERSION = "1"


@dataclasses.dataclass(frozen=True)
class Arm:
    """An ablation: of a layer's stream, to zero or the mean, at all tokens or the last one."""

    layer: int
    stream: str
    mode: str
    scope: str


def arms_of(layers: Sequence[int], written: Sequence[str]) -> list[Arm]:
    """Every ablation of some layers."""
    return [Arm(layer, s, mode, scope) for s in written for mode in MODES for scope in SCOPES for layer in layers]


@dataclasses.dataclass(frozen=True)
class Ablations(job.Job):
    """Everything a unit needs.

    Attributes:
        model: loaded.
        asked: the prompts.
        arms: run on each.
        written: the streams that layers write, in the order of `means`.
        means: of them at either scope [W, L, 2, D].
        first: the first position that counts.
        parallel: devices to spread rows over (default: those of the weights).
    """

    model: Model
    asked: Sequence[Question]
    arms: Sequence[Arm]
    written: tuple[str, ...]
    means: Float[np.ndarray, "W L 2 D"]
    first: int
    parallel: RowParallel | None = None

    @functools.cached_property
    def plan(self) -> Plan:
        """Units, layout and everything that decides the numbers."""
        parts = {
            "weights": self.model.fingerprint, "means": array_sha256(self.means), "version": ROWS_VERSION,
            "prompts": config_sha256([[q.tokens, q.answers] for q in self.asked]),
        }  # fmt: skip
        config = {
            "numerics": numerics_of(self.model.transformer), "written": self.written, "first": self.first,
            "arms": [dataclasses.astuple(arm) for arm in self.arms],
        }  # fmt: skip
        sizes = tuple(len(self._unit(start)) for start in range(0, len(self.asked), UNIT_PROMPTS))
        schema = pa.schema([("clean", pa.float64()), ("values", pa.list_(pa.float64()))])
        return Plan("ablation", config, parts, sizes, Layout(schema, "ablations"), {"model": self.model.name})

    def unit(self, index: int) -> UnitResult:
        """The outcomes of one unit's prompts."""
        found = self.run(self._unit(index * UNIT_PROMPTS))
        return UnitResult({"clean": found.clean.tolist(), "values": found.values.tolist()})

    def run(self, asked: Sequence[Question]) -> Effects:
        """The outcome of some prompts under each arm.

        Raises:
            NotFiniteError: a pass does not give numbers.
        """
        targets = [logit_difference(*question.answers) for question in asked]
        prompts = [list(question.tokens) for question in asked]
        try:
            arms = [[self._edit(arm)] for arm in self.arms]
            return effects(self.model, prompts, targets, arms, parallel=self.parallel)
        except NotFiniteError as error:
            raise error.of(f"ablations of {asked[0].name} and those after it") from None

    def _unit(self, start: int) -> Sequence[Question]:
        return self.asked[start : start + UNIT_PROMPTS]

    def _edit(self, arm: Arm) -> SwapEdit:
        mean = self.means[self.written.index(arm.stream), arm.layer, SCOPES.index(arm.scope)]
        vector = mean if arm.mode == "mean" else np.zeros_like(mean)
        return SwapEdit(arm.layer, vector, slice(self.first, None) if arm.scope == "all" else arm.scope, arm.stream)


def outcomes(wanted: Ablations, kept: Kept | None) -> Effects:
    """Every prompt under every arm, from where an earlier call was stopped; without `kept` nothing is written.

    Raises:
        ValueError: the workdir holds others.
        Stopped: by a signal or a full disk; what is finished is kept.
    """
    if kept is None:
        return wanted.run(wanted.asked)
    table = pa.concat_tables(job.all_tables(wanted, kept.workdir))
    return Effects(np.array(table["values"].to_pylist()), table["clean"].to_numpy())
