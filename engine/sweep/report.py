"""How a run of a sweep ended."""

import dataclasses
from pathlib import Path
from typing import Literal

Stopped = Literal["", "limit", "signal", "disk", "memory", "others"]


@dataclasses.dataclass(frozen=True)
class SweepReport:
    """How a run ended.

    Attributes:
        units: units of the plan.
        finished: of these finished, by this run, earlier ones or other processes.
        computed: by this run.
        seconds: wall time of this run.
        stopped: why it ended before the plan did; "" when the plan is done.
        table: the merged table, once the plan is done.
    """

    units: int
    finished: int
    computed: int
    seconds: float
    stopped: Stopped
    table: Path | None

    def told(self) -> str:
        """For a person, with what to do."""
        counts = f"{self.finished} of {self.units} units finished"
        reasons = {
            "signal": f"stopped by a signal, {counts}; rerun the same command to resume",
            "disk": f"stopped because the disk is full, {counts}; free space and rerun the same command to resume",
            "memory": f"stopped because memory ran out, {counts}, which stay; needs more memory, or fewer rows at once",
            "others": f"stopped because others have, {counts}; start them, and rerun the same command to resume",
            "limit": f"{counts}; rerun without a limit to go on",
        }
        return reasons.get(self.stopped, f"done, {counts}; {self.table}")
