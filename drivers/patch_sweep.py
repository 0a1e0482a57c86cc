"""Which dictionary features, set to another value, change what a model does?

Features are set one at a time, and the probability of each answer is computed (or rollouts are drawn) beside controls.
Written to --workdir: summary.json (one page), effects.parquet (a row for each feature, contrast, outcome and group) and
trials.parquet (every row that was run). The same command resumes.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Literal, cast

from causeway.drivers.flags import card_flag, chat_flags, interruption, sweep_flags
from causeway.drivers.flags.flag_values import folder, given, named, no_effect
from causeway.drivers.flags.refusals import run_driver
from causeway.drivers.flags.table import take

if TYPE_CHECKING:
    from causeway.engine.analyses.patch_sweep.effects import EffectSettings
    from causeway.engine.analyses.patch_sweep.patch_sweep import PatchSweep

FLAGS = take("arms random_draws doses outcome trials record_features record_logits tau export_study rebucket")


def main(_: list[str]) -> None:
    """Plan or run a sweep, then estimate its effects."""
    given("prompts", "files of prompts, JSON lines with text and group")
    features = given("features", "a file of features, the table of `screen` or JSON lines")
    workdir = folder("workdir")
    if FLAGS.export_study and FLAGS.outcome != "sampled":
        raise ValueError("--export_study: the study's files hold sampled answers; needs --outcome=sampled")
    if FLAGS.outcome == "exact":
        sampled = ("trials", "temperature", "top_k", "top_p", "stop_tokens", "parser", "max_new_tokens")
        no_effect("without --outcome=sampled", *sampled)
    for arm, flag in (("dose", "doses"), ("random", "random_draws")):
        if arm not in FLAGS.arms:
            no_effect(f"without {arm} in --arms", flag)
    guard, card = sweep_flags.disk_guard(workdir), card_flag.planned()
    from causeway.engine.analyses.patch_sweep import buckets, run, sweep_summary
    from causeway.ports.files.parquet_files import read_parquet
    from causeway.ports.prompts import sweep_inputs
    from causeway.ports.results import study_export

    with named("features"):
        table = sweep_inputs.read_feature_table(features)
    sweep = sweep_flags.sweep(table, FLAGS.outcome)
    settings = _effect_settings(sweep)
    run.check_effects(sweep, settings)
    if FLAGS.rebucket:
        sweep = buckets.go_on(sweep, workdir, FLAGS.rebucket)
    if FLAGS.export_study:
        study_export.check_study(map(str, sweep.settings.arms), [prompt.record.group for prompt in sweep.prompts])
    if FLAGS.plan:
        basis = cast(Literal["abstract", "measured"], FLAGS.plan)
        print(run.estimate(sweep, workdir, basis, card_flag.target(card)).text())
        return
    stopped = run.run(sweep, workdir, guard=guard, repair=FLAGS.repair).stopped
    if stopped == "memory":
        print(f"patch_sweep: {buckets.fitting_bucket(sweep).text()}", file=sys.stderr)
    if stopped:
        sys.exit(interruption.RESUMABLE)
    summary = run.finish(workdir, settings, sweep.about)
    chat_flags.keep(workdir / chat_flags.RENDERED, [prompt.record for prompt in sweep.prompts])
    print("\n".join(sweep_summary.lines(summary)))
    print(f"\neverything is in {workdir}: summary.json, effects.parquet, trials.parquet")
    if FLAGS.export_study:
        decisions = read_parquet(
            workdir / "original_rule.parquet", missing="summary.json says why the rule is not there"
        )
        print("study files: " + ", ".join(map(str, study_export.export_study(workdir, table, decisions))))


def _effect_settings(sweep: PatchSweep) -> EffectSettings:
    from causeway.engine.analyses.patch_sweep.causal_rule import CausalRule
    from causeway.engine.analyses.patch_sweep.effects import EffectSettings

    return EffectSettings(
        values=tuple(sweep.features.values), noop_is_baseline=FLAGS.form == "delta", correction=FLAGS.correction,
        split=FLAGS.halves, seed=FLAGS.seed, rule=CausalRule(alpha=FLAGS.alpha, tau=FLAGS.tau),
    )  # fmt: skip


if __name__ == "__main__":
    run_driver(main, sys.argv)
