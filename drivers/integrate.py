"""What do all analyses together say of each feature: effect, pathways, words, behaviour?

Reads what other commands wrote: --select, --results (a workdir of patch_sweep, or a published study's files),
--pathways, --replay and --associations (of tokens), two of them at least. Written to --out: features.parquet (a row a
feature), integrated.json (a nested story a feature, and a summary), clusters.json, integrated.graphml and
figures/integrated.png. Every q is as its own command corrected it, and says which file it is from.
"""

from __future__ import annotations

import sys
from pathlib import Path

from causeway.drivers.flags.flag_values import absent, folder
from causeway.drivers.flags.refusals import run_driver
from causeway.drivers.flags.table import take

# By stage, the flag of its folder.
STAGES = {
    "select": "select", "effects": "results", "pathways": "pathways", "replay": "replay", "tokens": "associations"
}  # fmt: skip
FLAGS = take("select results pathways replay associations alpha similarity seed out overwrite", keep=10)


def main(_: list[str]) -> None:
    """Read, bring together, write."""
    out, folders = _checked_directory()
    from causeway.engine.analyses.integrate.integrate import bring_together
    from causeway.engine.analyses.integrate.page import lines
    from causeway.engine.analyses.integrate.picture import picture
    from causeway.engine.sweep.checksums import written_alone
    from causeway.engine.sweep.environment import environment
    from causeway.ports.results.integrate_inputs import read_inputs
    from causeway.ports.results.integrated_files import FIGURE, FILES, remove_integrated, write_integrated
    from causeway.ports.results.integrated_picture import draw_integrated

    found = bring_together(read_inputs(folders), FLAGS.alpha, FLAGS.keep, FLAGS.similarity, FLAGS.seed)
    with written_alone(out, FILES):
        remove_integrated(out)
        if found.stories:
            draw_integrated(out / FIGURE, picture(found.stories, found.graph))
        write_integrated(out, found, {"environment": environment()})
    print("\n".join([*lines(found), f"everything is in {out}"]))


def _checked_directory() -> tuple[Path, dict[str, str]]:
    """--out and the folders of the stages, after the checks that need no file."""
    from causeway.ports.results.integrated_files import STORIES

    out = folder("out")
    given = {stage: str(getattr(FLAGS, flag)) for stage, flag in STAGES.items() if getattr(FLAGS, flag)}
    if len(given) < 2:
        got = ", ".join(f"--{STAGES[stage]}" for stage in given) or "nothing"
        flags = ", ".join(f"--{flag}" for flag in STAGES.values())
        raise ValueError(f"{flags}: got {got}; needs two of them or more, else there is nothing to bring together")
    absent([out / STORIES])
    return out, given


if __name__ == "__main__":
    run_driver(main, sys.argv)
