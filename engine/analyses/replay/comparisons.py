"""What is compared with what: a feature's edit with the no-op of its layer and with the clean arm, on equal draws.

In delta form the no-op is the clean arm to the bit, is not run, and the clean arm stands for it. In replace form it
brings in the dictionary's error, as every edit does, so it is the reference that isolates the edit, and what differs
from the clean arm is told beside it.
"""

import dataclasses
from collections import Counter
from collections.abc import Callable, Sequence

from causeway.engine.analyses.patch_sweep.arms import Arm
from causeway.engine.analyses.patch_sweep.trial_axes import EVERY
from causeway.engine.analyses.replay.recorded import BASELINE, Key, Recorded, is_edit

NOOP = "noop"
FREE, FORCED = "free", "teacher_forced"


@dataclasses.dataclass(frozen=True)
class Comparison:
    """One source under one arm against one reference.

    Attributes:
        layer, feature: the feature that is set. arm: how. reference: "noop" or "baseline".
    """

    layer: int
    feature: int
    arm: str
    reference: str

    @property
    def edited(self) -> Key:
        """The rows that are edited."""
        return self.layer, self.feature, self.arm

    @property
    def plain(self) -> Key:
        """The rows they are compared with."""
        return BASELINE if self.reference == BASELINE[2] else (self.layer, EVERY, NOOP)

    @property
    def controls(self) -> tuple[int, int, str, str]:
        """What a comparison has in common with those of random features in its source's place, at the same value."""
        return self.layer, self.feature, str(Arm.parse(self.arm).randomised), self.reference


def comparisons(recorded: Recorded) -> tuple[list[Comparison], list[Comparison]]:
    """Every edit, and every control, against each reference that was run.

    Raises:
        ValueError: no edit of a feature, or no reference.
    """
    keys = set(recorded.keys)
    edits = [key for key in recorded.keys if is_edit(key[2])]
    if not edits:
        raise ValueError("arms: no feature is set to a value in any of them; needs some of patch and ablate")

    def compared(wanted: Callable[[str], bool]) -> list[Comparison]:
        made = [Comparison(*key, name) for name in (NOOP, BASELINE[2]) for key in recorded.keys if wanted(key[2])]
        return [one for one in made if one.plain in keys]

    found = compared(is_edit)
    if not found:
        raise ValueError("arms: neither baseline nor noop was run; needs one to compare with")
    return found, compared(lambda arm: Arm.parse(arm).kind == "random")


def fewest_controls(edits: Sequence[Comparison], controls: Sequence[Comparison]) -> int:
    """Random features in the place of the source and value that has fewest."""
    counts = Counter(one.controls for one in controls)
    return min(counts[one.controls] for one in edits)
