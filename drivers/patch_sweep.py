"""Which dictionary features, set to another value, change what a model does?

Features are set one at a time, and the probability of each answer is computed (or rollouts are drawn) beside controls.
Written to --workdir: summary.json (one page), effects.parquet (a row for each feature, contrast, outcome and group) and
trials.parquet (every row that was run). The same command resumes.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, cast

from causeway.drivers.flags import chat_flags, model_flags, prompt_records, stop_flag
from causeway.drivers.flags.flag_values import folder, given, named, no_effect, numbers
from causeway.drivers.flags.refusals import run_driver
from causeway.drivers.flags.table import take

if TYPE_CHECKING:
    import pyarrow as pa

    from causeway.engine.analyses.patch_sweep.design import FeatureSet
    from causeway.engine.analyses.patch_sweep.effects import EffectSettings
    from causeway.engine.analyses.patch_sweep.patch_sweep import PatchSweep
    from causeway.engine.analyses.patch_sweep.recording import Recording
    from causeway.engine.analyses.patch_sweep.settings import SweepSettings
    from causeway.engine.model.sampling import Sampling
    from causeway.engine.model.stops import Stops

# Exit status of a sweep that was stopped and can be resumed.
_STOPPED = 3
FLAGS = take(
    "answers features per_layer value value_operation arms doses random_draws outcome form holds scope semantics "
    "parser trials seed temperature top_k top_p stop_tokens record_features record_logits unit_buckets "
    "limit_features workdir plan repair disk_limits correction halves alpha tau export_study",
    max_new_tokens=100,
    batch_rows=64,
)


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
    limits = numbers("disk_limits", float)
    if len(limits) != 2:
        raise ValueError(f"--disk_limits: got {len(limits)} numbers; needs two, to warn at and to stop at")
    from causeway.engine.analyses.patch_sweep import run, sweep_summary
    from causeway.engine.sweep.guard import DiskGuard
    from causeway.ports.files.parquet_files import read_parquet
    from causeway.ports.prompts import sweep_inputs
    from causeway.ports.results import study_export

    with named("features"):
        table = sweep_inputs.read_feature_table(features)
    sweep = _sweep(table)
    settings = _effect_settings(sweep)
    run.check_effects(sweep, settings)
    if FLAGS.export_study:
        study_export.check_study(map(str, sweep.settings.arms), [prompt.record.group for prompt in sweep.prompts])
    if FLAGS.plan:
        print(run.estimate(sweep, workdir, cast(Literal["abstract", "measured"], FLAGS.plan)).text())
        return
    if run.run(sweep, workdir, guard=DiskGuard(workdir, limits[0], limits[1]), repair=FLAGS.repair).stopped:
        sys.exit(_STOPPED)
    chat_flags.keep(workdir / chat_flags.RENDERED, [prompt.record for prompt in sweep.prompts])
    print("\n".join(sweep_summary.lines(run.finish(workdir, settings, sweep.about))))
    print(f"\neverything is in {workdir}: summary.json, effects.parquet, trials.parquet")
    if FLAGS.export_study:
        decisions = read_parquet(
            workdir / "original_rule.parquet", missing="summary.json says why the rule is not there"
        )
        print("study files: " + ", ".join(map(str, study_export.export_study(workdir, table, decisions))))


def _sweep(table: pa.Table) -> PatchSweep:
    """The sweep the flags describe."""
    from causeway.engine.analyses.patch_sweep.design import sweep_prompt
    from causeway.engine.analyses.patch_sweep.features import features_of, parse_rule
    from causeway.engine.analyses.patch_sweep.patch_sweep import PatchSweep
    from causeway.engine.model.sampling import Sampling
    from causeway.engine.model.stops import stops_of
    from causeway.engine.prompt_record import check_group
    from causeway.ports.prompts import sweep_inputs

    sampling, stop = Sampling(FLAGS.temperature, FLAGS.top_k, FLAGS.top_p), stop_flag.stops(FLAGS.stop_tokens)
    records = prompt_records.read(check_group)
    answers = sweep_inputs.read_answers(FLAGS.answers) if FLAGS.answers else ()
    model = model_flags.load_model()
    dictionary = model_flags.load_dictionaries(model)
    records = prompt_records.rendered(model, records)
    places = {record.where: place for place, record in enumerate(records)}
    prompts = prompt_records.usable(
        records, lambda record: sweep_prompt(model, record, places[record.where], answers), "run"
    )
    layers, groups = dictionary.config.layers if FLAGS.layers else (), [p.record.group for p in prompts]
    rule, most = parse_rule(FLAGS.value), (FLAGS.per_layer, FLAGS.limit_features)
    with named("features"):
        features = features_of(table, rule, *most, groups=groups, layers=layers)
    settings = _settings(dictionary, features, sampling, stops_of(model, stop))
    return PatchSweep(model, dictionary, tuple(prompts), features, settings, model_flags.parallel())


def _settings(dictionary: Any, features: FeatureSet, sampling: Sampling, stops: Stops) -> SweepSettings:
    from causeway.engine.analyses.patch_sweep.arms import make_arms
    from causeway.engine.analyses.patch_sweep.settings import SweepSettings
    from causeway.engine.model.segments import segment_lengths

    sampled = FLAGS.outcome == "sampled"
    return SweepSettings(
        outcome=FLAGS.outcome, form=FLAGS.form, holds=tuple(FLAGS.holds), scope=FLAGS.scope, semantics=FLAGS.semantics,
        arms=make_arms(FLAGS.arms, tuple(features.values), numbers("doses", float), FLAGS.random_draws),
        trials=FLAGS.trials if sampled else 1, seed=FLAGS.seed, rows=FLAGS.batch_rows, unit_buckets=FLAGS.unit_buckets,
        segments=segment_lengths(FLAGS.max_new_tokens) if sampled else (), 
        operation=FLAGS.value_operation, parser=FLAGS.parser or "answers", stop_texts=stops.texts,
        sampling=replace(sampling, stop_tokens=stops.ids), recording=_recording(dictionary, features),
    )  # fmt: skip


def _recording(dictionary: Any, features: FeatureSet) -> Recording:
    from causeway.engine.analyses.patch_sweep.recording import make_recording
    from causeway.ports.prompts.sweep_inputs import read_feature_table

    text = FLAGS.record_features
    if text in ("", "all", "patched") or text.startswith("top:"):
        return make_recording(text, dictionary, features, FLAGS.record_logits)
    return make_recording(read_feature_table(text), dictionary, features, FLAGS.record_logits)


def _effect_settings(sweep: PatchSweep) -> EffectSettings:
    from causeway.engine.analyses.patch_sweep.causal_rule import CausalRule
    from causeway.engine.analyses.patch_sweep.effects import EffectSettings

    return EffectSettings(
        values=tuple(sweep.features.values), noop_is_baseline=FLAGS.form == "delta", correction=FLAGS.correction,
        split=FLAGS.halves, seed=FLAGS.seed, rule=CausalRule(alpha=FLAGS.alpha, tau=FLAGS.tau),
    )  # fmt: skip


if __name__ == "__main__":
    run_driver(main, sys.argv)
