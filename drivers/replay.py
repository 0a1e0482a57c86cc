"""Which features does setting a feature change: in rollouts, and along the clean rollouts' own tokens?

Rollouts of every arm are drawn with the same noise and recorded at the last prompt token and at every new one; then
edits are run once more along the clean tokens, where nothing but features can carry them. Or --sweep reads a finished
`patch_sweep` that recorded. Written to --workdir: replay_pathways.parquet (a row for each source, target, measure and
step: change with interval and q over prompts, the study's own rules beside it), replay_sources.parquet,
first_difference.parquet (where rollouts part), replay_logits.parquet and replay.json. The same command resumes.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

from causeway.drivers.flags import card_flag, chat_flags, interruption, sweep_flags
from causeway.drivers.flags.flag_values import folder, given, named, no_effect
from causeway.drivers.flags.help import own_flags
from causeway.drivers.flags.refusals import run_driver
from causeway.drivers.flags.table import take

if TYPE_CHECKING:
    from collections.abc import Callable

    import pyarrow as pa

    from causeway.engine.analyses.patch_sweep.patch_sweep import PatchSweep
    from causeway.engine.analyses.replay.pathways import PathwaySettings

FLAGS = take(
    "targets sweep teacher_forced",
    arms=["baseline", "noop", "patch", "random"],
    random_draws=19,
    trials=10,
    record_features="patched",
    record_logits=50,
)
# What a sweep that is read has decided already does nothing.
_READING = {"sweep", "targets", "workdir", "correction", "halves", "alpha", "seed", "traceback", "shared"}


def main(_: list[str]) -> None:
    """Make rollouts, or take those there are, and read them."""
    workdir = folder("workdir")
    if FLAGS.sweep:
        no_effect("with --sweep, which is read as it is", *sorted(own_flags().keys() - _READING))
        _finish(workdir, _settings(), _targets()[1])
        return
    given("prompts", "files of prompts, JSON lines with text and group; or --sweep")
    features = given("features", "a file of features, the table of `screen` or JSON lines")
    if "random" not in FLAGS.arms:
        no_effect("without random in --arms", "random_draws")
        print("warning: nothing will be called a pathway: random features are not among --arms", flush=True)
    card = card_flag.planned()
    guard, settings = sweep_flags.disk_guard(workdir), _settings()
    from causeway.engine.analyses.replay import run
    from causeway.engine.stats.paired import verdict
    from causeway.ports.prompts.sweep_inputs import read_feature_table
    from causeway.ports.results.replay_files import check_workdir

    with named("features"):
        table = read_feature_table(features)
    asked, targets = _targets()
    sweep = sweep_flags.sweep(table, "sampled", asked, unread=True)
    run.check(sweep, settings, FLAGS.teacher_forced, targets)
    check_workdir(workdir, sweep.plan.fingerprint, sweep=False)
    if few := verdict(len(sweep.prompts) // (2 if FLAGS.halves else 1)):
        print(f"{'each half' if FLAGS.halves else 'all'} of the prompts: {few}", flush=True)
    if FLAGS.plan:
        basis = cast(Literal["abstract", "measured"], FLAGS.plan)
        print(run.estimate(sweep, workdir, basis, FLAGS.teacher_forced, card_flag.target(card)))
        return
    if run.run(sweep, workdir, teacher_forced=FLAGS.teacher_forced, guard=guard, repair=FLAGS.repair).stopped:
        sys.exit(interruption.RESUMABLE)
    _finish(workdir, settings, targets, _texts(sweep))
    chat_flags.keep(workdir / chat_flags.RENDERED, [prompt.record for prompt in sweep.prompts])


def _settings() -> PathwaySettings:
    from causeway.engine.analyses.replay.pathways import PathwaySettings

    return PathwaySettings(FLAGS.correction, FLAGS.alpha, FLAGS.halves, FLAGS.seed)


def _targets() -> tuple[pa.Table | None, list[tuple[int, int]] | None]:
    """The table of --targets, and the features in it."""
    from causeway.engine.analyses.replay.columns import pairs_of
    from causeway.ports.prompts.sweep_inputs import read_feature_table

    if not FLAGS.targets:
        return None, None
    with named("targets"):
        table = read_feature_table(FLAGS.targets)
        return table, pairs_of(table, "targets")


def _texts(sweep: PatchSweep) -> Callable[[int], str] | None:
    """The text of a token, of models that have a tokenizer."""
    model = sweep.model
    return (lambda token: model.text_of([token])) if model.tokenizer else None


def _finish(
    workdir: Path, settings: PathwaySettings, targets: list[tuple[int, int]] | None,
    text: Callable[[int], str] | None = None,
) -> None:  # fmt: skip
    """Read the stores, write what follows, tell it."""
    from causeway.engine.analyses.replay import run
    from causeway.engine.analyses.replay.replay_summary import lines
    from causeway.engine.sweep.checksums import written_alone
    from causeway.engine.sweep.manifest import finished_table
    from causeway.ports.results.recorded_inputs import file_read
    from causeway.ports.results.replay_files import FILES, check_workdir, write_replay

    inputs = {flag: file_read(path) for flag in ("features", "targets") if (path := getattr(FLAGS, flag))}
    sweep = Path(FLAGS.sweep) if FLAGS.sweep else None
    if sweep:
        check_workdir(workdir, finished_table(sweep, "trials", "patch_sweep").plan["fingerprint"], sweep=True)
    found = run.read_stores(
        workdir, settings, sweep=sweep, teacher_forced=FLAGS.teacher_forced, targets=targets, text=text,
        inputs=inputs,
    )  # fmt: skip
    with written_alone(workdir, FILES):
        write_replay(workdir, found)
    print("\n".join(lines(found.summary)))
    print(f"\neverything is in {workdir}: replay_pathways.parquet, replay_sources.parquet, replay.json")


if __name__ == "__main__":
    run_driver(main, sys.argv)
