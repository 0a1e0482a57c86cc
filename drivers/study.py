"""Run a whole pipeline from one file: its stages as data, each a command, skipped when its results are there.

--config is a Python file whose get_config() gives `name`, `shared` (values of flags for every stage whose driver has
them) and `stages`, each with `name`, `driver`, `flags` (values of its own) and `takes` (flags that get the folder of an
earlier stage, or a file in it). Stage NAME writes WORKDIR/NAME and WORKDIR/stages/NAME.log; WORKDIR/study.json says
what was run, with what, and where everything lies. A stage runs again when its values, its input files or what it takes
have changed, and then all that takes it. Values are changed in the file or as --config.shared.seed=3 and
--config.stages[0].flags.train=20. The same command goes on after a failure, a signal or a kill.
"""

from __future__ import annotations

import sys
from pathlib import Path

from ml_collections import config_flags

import causeway.configs
from causeway.drivers.flags import interruption
from causeway.drivers.flags.config_values import given_config
from causeway.drivers.flags.flag_values import all_given, folder
from causeway.drivers.flags.refusals import run_driver
from causeway.drivers.flags.table import take

config_flags.DEFINE_config_file(
    "config", str(Path(causeway.configs.__file__).parent / "study_circuits_tiny.py"),
    "The study (default: circuits of the bundled model); fields are overridden as --config.shared.seed=3.",
)  # fmt: skip
FLAGS = take("workdir only from plan repair")
_EXAMPLE = "causeway study --workdir=runs/circuits"


def main(_: list[str]) -> None:
    """Read the study; plan it, or run what is due."""
    config = given_config()
    all_given(_EXAMPLE, "workdir")
    workdir = folder("workdir")
    from causeway.drivers.stages import process
    from causeway.drivers.stages.stage_flags import commands_of, study_of
    from causeway.drivers.stages.study import planned, told
    from causeway.engine.analyses.study.page import Outcome
    from causeway.engine.analyses.study.records import Places
    from causeway.engine.analyses.study.run_study import Limits, run_study

    study, limits = study_of(config), Limits(tuple(FLAGS.only), FLAGS["from"].value, FLAGS.repair)
    study.chosen(limits.only, limits.start)
    commands = commands_of(study, workdir)
    if FLAGS.plan:
        print(planned(study, commands, workdir, limits, FLAGS.plan == "measured"))
        return
    interruption.resumes(True, process.PATIENCE_SECONDS + 1)
    results = run_study(study, commands, workdir, process.run, limits, _tell)
    for result in results:
        if result.outcome in (Outcome.FAILED, Outcome.STOPPED):
            print("\n".join(told(result, Places(workdir))), file=sys.stderr)
            sys.exit(interruption.RESUMABLE if result.outcome is Outcome.STOPPED else 1)
    print(f"everything is in {workdir}: {Path(Places(workdir).page).name} says where")


def _tell(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    run_driver(main, sys.argv)
