"""Every edited row of a replay once more, along the tokens that the clean rollout of its prompt and trial wrote.

    free            tokens of each arm are its own: what an edit does in all, through features and through the text
    teacher-forced  tokens of each arm are the clean rollout's: what it does through features alone

Edits act at the same positions, recordings are the same, and so are the programs and their widths (`generate_rows` with
its tokens given). So the clean arm needs no run of its own: along its own tokens it is what it was, to the bit, and the
rows of the free run are the reference. In replace form the no-op is not the clean arm, and is run along its tokens too.

Shapes: S trials, N steps. Cost: that of the edited arms of the free run.
"""

import dataclasses
import functools
from collections.abc import Mapping

import numpy as np
from jaxtyping import Int

from causeway.engine.analyses.patch_sweep.patch_sweep import PatchSweep
from causeway.engine.analyses.patch_sweep.run import COMPRESSION
from causeway.engine.analyses.patch_sweep.sampled_units import forced_unit
from causeway.engine.analyses.patch_sweep.trial_table import forced_schema
from causeway.engine.analyses.replay.recorded import BASELINE, Recorded
from causeway.engine.sweep.estimate import uncompressed_bytes
from causeway.engine.sweep.fingerprint import arrays_sha256
from causeway.engine.sweep.job import Job
from causeway.engine.sweep.layout import Layout, UnitResult
from causeway.engine.sweep.plan import Plan

# Clean tokens by prompt id, -1 after a rollout's end.
Continuations = Mapping[int, Int[np.ndarray, "S N"]]


def edited_arms(sweep: PatchSweep) -> PatchSweep:
    """The sweep without the arms that are what they were along their own tokens."""
    replaced = sweep.settings.form == "replace"
    arms = tuple(arm for arm in sweep.settings.arms if arm.of_features or (replaced and arm.kind == "noop"))
    return dataclasses.replace(sweep, settings=dataclasses.replace(sweep.settings, arms=arms))


def continuations(free: Recorded) -> Continuations:
    """The clean rollouts' tokens of a finished free run."""
    found = {}
    for prompt in free.prompt_ids.tolist():
        rows = free.rows_of(*BASELINE, prompt)
        tokens = np.full((free.trials, free.steps), -1, np.int32)
        for row in rows.tolist():
            ids = free.tokens(row)
            tokens[free.trial[row], : len(ids)] = ids
        found[prompt] = tokens
    return found


@dataclasses.dataclass(frozen=True)
class ForcedJob(Job):
    """The edited arms along given tokens.

    Attributes:
        sweep: of these arms (`edited_arms`). given: the tokens.
    """

    sweep: PatchSweep
    given: Continuations

    @functools.cached_property
    def plan(self) -> Plan:
        """The sweep's, with the tokens and without what is drawn."""
        own = self.sweep.plan
        tokens = arrays_sha256({str(prompt): ids for prompt, ids in self.given.items()})
        layout = Layout(forced_schema(), "trials", own.layout.arrays)
        return dataclasses.replace(
            own, name="teacher_forced", parts={**own.parts, "continuations": tokens}, layout=layout
        )

    def unit(self, index: int) -> UnitResult:
        """Some rows of one prompt."""
        return forced_unit(self.sweep, index, self.given[self.sweep.part(index)[0].number])

    @property
    def expected_bytes(self) -> int:
        """An estimate of what is written."""
        return uncompressed_bytes(self.plan) // COMPRESSION
