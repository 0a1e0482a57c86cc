"""Two results of a benchmark side by side: which figures got better, and which worse by more than noise.

Which way is better is in a figure's name, by the first rule that fits it. Figures that no rule fits (sizes of what was
run), and what others or the machine reach, are shown and not judged.
"""

import dataclasses
import re
from collections.abc import Mapping
from typing import Literal

# 1: more is better, -1: less is, 0: neither.
RULES = (
    (
        r"^(prompts|interventions|rows|rows_a_batch|layers)$|^(hf|torch|autograd|materialising|circuit_tracer)_|gemm_gflops|copy_gb",
        0,
    ),
    (r"needed_|result_gb|^kernel_gb|gemm_gflops|copy_gb", 0),
    (r"peak|memory_fraction|compilations|failed", -1),
    (r"per_(cpu_)?second|fraction|speedup|gflops|(^|_)gb_(model|dictionary)$", 1),
    (r"seconds|ms_per|_ms$|_gb|^copied_gb|passes|_over_|^trip_(tflop|kernels|copies)$", -1),
)
# Copies and failures are told where there are some.
TOLD = r"^copied_gb|^failed$"
Verdict = Literal["better", "worse", "same", ""]


@dataclasses.dataclass(frozen=True)
class Compared:
    """One figure: old and new (None where a result lacks it), and what became of it ("" where nobody can say)."""

    name: str
    old: float | None
    new: float | None
    verdict: Verdict

    @property
    def ratio(self) -> float | None:
        """new / old."""
        return None if self.old is None or self.new is None or not self.old else self.new / self.old


def direction(name: str) -> int:
    """1 where more is better, -1 where less is, 0 where neither; `name` may begin with the benchmark's and a dot."""
    figure = name.partition(".")[2] or name
    return next((way for rule, way in RULES if re.search(rule, figure)), 0)


def compare(old: Mapping[str, float], new: Mapping[str, float], share: float) -> list[Compared]:
    """All figures of both; a change of more than `share` of the old is better or worse, and one that is gone worse."""
    names = dict.fromkeys((*old, *new))
    return [Compared(name, old.get(name), new.get(name), _verdict(name, old, new, share)) for name in names]


def _verdict(name: str, old: Mapping[str, float], new: Mapping[str, float], share: float) -> Verdict:
    way = direction(name)
    if re.search(TOLD, name.partition(".")[2]):
        old, new = {name: 0.0, **old}, {name: 0.0, **new}
    if not way or name not in old:
        return ""
    if name not in new:
        return "worse"
    change = way * (new[name] - old[name])
    return "same" if abs(change) <= share * abs(old[name]) else "better" if change > 0 else "worse"
