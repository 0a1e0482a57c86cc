"""Going on after memory ran out: which row bucket would fit, and the same sweep in narrower buckets from a prompt on.

The bucket decides the last bits of a row, so it is part of the plan and nothing changes it by itself. A person declares
the change, and it becomes a version of the plan: prompts before the first that is not finished keep their bucket, it
and all after it are run in the narrower one from their first row on. So the arms of a prompt, which are compared with
each other, share one bucket whatever happened, and the plan says which prompts have which. A unit holds as many rows as
before, in more buckets; manifests keep the fingerprint of the version that they were computed under.

    needed(b) = needed(B/2) + (b - B/2) (needed(B) - needed(B/2)) / (B/2)        from the compiler's plan of two buckets

Cost: two compilations of the largest program.
"""

import dataclasses
from pathlib import Path

from causeway.engine import memory
from causeway.engine.analyses.patch_sweep.cost import largest_program
from causeway.engine.analyses.patch_sweep.patch_sweep import PatchSweep
from causeway.engine.sweep.plan import PLAN_FILE, read_plan
from causeway.engine.sweep.store import Store


@dataclasses.dataclass(frozen=True)
class Fit:
    """A row bucket and memory.

    Attributes:
        rows: the widest power of two below the present bucket that fits; 0 where not even one row does.
        needed: bytes that it takes, or that one row takes. there: bytes that there are.
    """

    rows: int
    needed: int
    there: int

    def text(self) -> str:
        """What to do, for the person whose sweep stopped."""
        sizes = f"{self.needed / 1e9:.3g} GB of {self.there / 1e9:.3g} GB"
        if self.rows:
            return (
                f"row buckets of {self.rows} would fit ({sizes}): the same command with --rebucket={self.rows} goes on "
                "with the first prompt that is not finished, as a declared version of the plan"
            )
        return (
            f"no row bucket would fit (one row takes {sizes}); needs weights in fewer bits (--storage), dictionaries "
            "streamed (--placement=streamed), or shorter texts, and another --workdir"
        )


def fitting_bucket(sweep: PatchSweep) -> Fit:
    """The row bucket that would fit where memory ran out."""
    present, there = _narrowest(sweep), memory.memory_there_bytes()
    half = max(1, present // 2)
    wide, narrow = _needed(sweep, present), _needed(sweep, half)
    a_row = (wide - narrow) / max(present - half, 1)
    powers = [1 << place for place in range(half.bit_length())] if present > 1 else []
    needed = {rows: round(narrow - (half - rows) * a_row) for rows in powers}
    fitting = max((rows for rows in powers if needed[rows] <= there), default=0)
    return Fit(fitting, needed.get(fitting, needed.get(1, wide)), there)


def go_on(sweep: PatchSweep, workdir: Path, rows: int) -> PatchSweep:
    """The sweep of a workdir with row buckets of `rows` from its first unfinished prompt on.

    A workdir that goes on so already is gone on with as it is.

    Raises:
        ValueError: no run to go on from, one of another plan, a finished one, or a bucket that is not narrower.
    """
    if not (workdir / PLAN_FILE).exists():
        raise ValueError(f"rebucket: {workdir} holds no run to go on from; run without it, in row buckets of your own")
    stored = read_plan(workdir)["config"].get("settings", {}).get("narrower", ())
    before = sweep.rebucketed(*((first, width) for first, width in stored))
    before.plan.bind(workdir)
    present = _narrowest(before)
    if stored and rows == present:
        return before
    if not 1 <= rows < present:
        raise ValueError(f"rebucket: got {rows}; needs fewer rows than the run has now, 1 to {present - 1}")
    done, units = set(Store(workdir, before.plan).finished()), before.prompt_units
    unfinished = [number for number in range(len(sweep.prompts)) if set(_units(number, units)) - done]
    if not unfinished:
        raise ValueError(f"rebucket: the run in {workdir} is finished; there is nothing to go on with")
    return before.rebucketed(*before.settings.narrower, (unfinished[0], rows))


def _units(prompt: int, count: int) -> range:
    return range(prompt * count, (prompt + 1) * count)


def _narrowest(sweep: PatchSweep) -> int:
    return sweep.settings.bucket(len(sweep.prompts))


def _needed(sweep: PatchSweep, rows: int) -> int:
    """Bytes of the largest program at a bucket; in the host's memory on top of what the process holds."""
    cost = largest_program(sweep.rebucketed((0, rows)))
    if cost is None:
        return 0
    return cost.memory_bytes + (memory.resident_bytes() - cost.resident_bytes if memory.in_host_memory() else 0)
