"""Can the results of an earlier study be built on? Completeness, readability, and what chance would have given.

Read from --results: the published study's checkpoints and response logs, or a finished workdir of patch_sweep. Counts
per layer, conditions and trials of each feature, trials that a resumed run repeats, the join of decisions and responses
by feature, readable answers per arm, and declared features against those that chance and a shift common to all patches
would give. Written to --out: data_validation.json. Exit status 1 where a check failed (the file says which), 0 where
there are warnings alone.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from causeway.drivers.flags.flag_values import absent, folder, given, named
from causeway.drivers.flags.refusals import run_driver
from causeway.drivers.flags.table import take

if TYPE_CHECKING:
    from pathlib import Path

    from causeway.engine.analyses.audit.audit import Validation

FLAGS = take("results out overwrite")
FILE = "data_validation.json"
# Exit status where a check failed; refused input has 2, as everywhere.
FAILED = 1


def main(_: list[str]) -> None:
    """Read, check, write, tell."""
    given("results", "the folder of an earlier study's results")
    out = folder("out")
    absent([out / FILE])
    from causeway.engine.analyses.audit.audit import audit
    from causeway.engine.analyses.audit.summary import lines
    from causeway.ports.results.study_files import read_earlier

    with named("results"):
        found = audit(read_earlier(FLAGS.results))
    _write(out, found)
    print("\n".join(lines(found)))
    print(f"everything is in {out / FILE}")
    if not found.validated:
        sys.exit(FAILED)


def _write(out: Path, found: Validation) -> None:
    from causeway.engine.sweep.checksums import written_alone
    from causeway.engine.sweep.environment import environment
    from causeway.ports.files.json_text import write_json

    report = {**found.report, "results": FLAGS.results, "environment": environment()}
    with written_alone(out, [FILE]):
        write_json(out / FILE, report)


if __name__ == "__main__":
    run_driver(main, sys.argv)
