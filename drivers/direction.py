"""Along which direction of the stream are a model's right answers told from its wrong ones?

Fitted on one split of what `represent` wrote, judged on another (or on groups held out): difference of means, logistic
probe, mass mean; of graded labels (--labels=margin) covariance and ridge. With --token_directions and
--answers_direction columns of the unembedding too. Written to --out: directions.npy [R, D], directions.json,
projections.parquet (a row a prompt) and figures/projections.png.
"""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from causeway.drivers.flags import model_flags
from causeway.drivers.flags.flag_values import absent, folder, given, named, no_effect
from causeway.drivers.flags.refusals import run_driver
from causeway.drivers.flags.table import take

if TYPE_CHECKING:
    from causeway.engine.analyses.direction.direction import Found, Settings
    from causeway.engine.representations import Representations

FLAGS = take(
    "representations labels label_source methods fit_split judge_split held_out token_directions answers_direction "
    "out overwrite seed"
)


def main(_: list[str]) -> None:
    """Read representations, fit, judge, write."""
    out = _checked_directory()
    from causeway.engine.analyses.direction.direction import find_directions, told_lines
    from causeway.engine.representations import joined
    from causeway.engine.sweep.checksums import written_alone
    from causeway.ports.results.direction_files import FILES
    from causeway.ports.results.projection_files import FIGURE, TABLE
    from causeway.ports.results.representation_files import read_representations

    settings = _settings()
    with named("representations"):
        read = joined([read_representations(path) for path in FLAGS.representations])
    model = model_flags.load_model(spread=False) if settings.needs_model else None
    found = find_directions(read, settings, model)
    with written_alone(out, [*FILES, TABLE, FIGURE]):
        _write(out, read, found)
    about = found.directions.about
    source = f"labels by {about['label_source']}; " if about["label_source"] else ""
    print("\n".join([f"{len(read.records)} prompts; {source}{about['sides']}", *told_lines(found.directions)]))
    print(f"everything is in {out}")


def _checked_directory() -> Path:
    """--out, after the checks that need no file."""
    from causeway.ports.results.direction_files import ABOUT

    given("representations", "the folder that `represent` wrote")
    out = folder("out")
    no_effect("where no prompt is run", "dictionaries", "layers", "gating", "devices", "mesh", "parallel", "placement")
    if not (FLAGS.token_directions or FLAGS.answers_direction):
        no_effect(
            "without --token_directions or --answers_direction", "model", "storage", "compute", "bos",
        )  # fmt: skip
    absent([out / ABOUT])
    return out


def _settings() -> Settings:
    from causeway.engine.analyses.direction.direction import Settings
    from causeway.engine.stats.splits import check_share

    check_share(FLAGS.held_out)
    methods = None if not FLAGS.methods else tuple(name for name in FLAGS.methods if name != "none")
    return Settings(
        FLAGS.labels, methods, FLAGS.label_source, FLAGS.fit_split, FLAGS.judge_split, FLAGS.held_out,
        tuple(FLAGS.token_directions), FLAGS.answers_direction, FLAGS.seed,
    )  # fmt: skip


def _write(out: Path, read: Representations, found: Found) -> None:
    """The description last: with it the directions are whole."""
    from causeway.engine.analyses.direction.direction import judged_classes, projection_table
    from causeway.engine.sweep import durable
    from causeway.engine.sweep.environment import environment
    from causeway.ports.results import projection_files as files
    from causeway.ports.results.direction_files import ABOUT, write_directions

    durable.remove(out / ABOUT)
    durable.remove(out / files.FIGURE)
    files.write_projections(out, projection_table(read, found))
    if (classes := judged_classes(found)) is not None:
        files.draw_projections(out, *classes)
    about = dict(found.directions.about) | {"representations": FLAGS.representations, "environment": environment()}
    write_directions(out, dataclasses.replace(found.directions, about=about))


if __name__ == "__main__":
    run_driver(main, sys.argv)
