"""Which dictionary features, set to another value, change what a model does?"""

import sys
from dataclasses import replace
from typing import Literal, cast

from absl import flags

from causeway.drivers.flags import model_flags, stop_flag
from causeway.drivers.flags.flag_values import MOST_SEED, folder, given, numbers
from causeway.drivers.flags.refusals import run_driver

# Exit status of a sweep that was stopped and can be resumed.
_STOPPED = 3
_PROMPTS = flags.DEFINE_string("prompts", None, "JSON lines with text (or tokens), group, and perhaps answers.")
_ANSWERS = flags.DEFINE_string(
    "answers", None, "Answers of prompts with none of their own: a JSON file or text, a list of {text, label, amount}."
)
_FEATURES = flags.DEFINE_string(
    "features", None, 'Table of `screen`, or JSON lines {"layer", "feature", "value_GROUP"}.'
)
_PER_LAYER = flags.DEFINE_integer(
    "per_layer", 300, "Features of each layer taken from a screening table, by |d|.", lower_bound=1
)
_VALUE = flags.DEFINE_string("value", "mean_active", "Patch value: mean, mean_active, q10...q90, or GROUP=NUMBER,...")
_ARMS = flags.DEFINE_list("arms", ["baseline", "noop", "patch", "ablate", "random", "dose"], "Kinds of arms to run.")
_DOSES = flags.DEFINE_list("doses", ["0.25", "0.5", "0.75", "1.5"], "Steps of the dose ladder, 1 being the value.")
_DRAWS = flags.DEFINE_integer("random_draws", 1, "Random control features for each feature.", lower_bound=1)
_OUTCOME = flags.DEFINE_enum("outcome", "exact", ["exact", "sampled"], "Answer probabilities, or sampled rollouts.")
_MODE = flags.DEFINE_enum("mode", "delta", ["delta", "replace"], "Edit form; replace is the original study's.")
_SCOPE = flags.DEFINE_string(
    "scope", "last_prompt", "last_prompt, decode, last_prompt_and_decode (the study's), all, or positions:2:5,-1."
)
_SEMANTICS = flags.DEFINE_enum("semantics", "cached", ["cached", "recomputed"], "Whether earlier edits go on acting.")
_PARSER = flags.DEFINE_enum("parser", "answers", ["answers", "study_v1", "study_v2"], "How a rollout is read.")
_TRIALS = flags.DEFINE_integer("trials", 30, "Rollouts of each arm and prompt (sampled).", lower_bound=1)
_SEED = flags.DEFINE_integer("seed", 0, "Seed of every draw.", 0, MOST_SEED)
_NEW_TOKENS = flags.DEFINE_integer("max_new_tokens", 100, "Most tokens of a rollout.", lower_bound=1)
_TEMPERATURE = flags.DEFINE_float("temperature", 0.7, "Sampling temperature; 0 is greedy.")
_TOP_K = flags.DEFINE_integer("top_k", 0, "Keep the k most probable tokens; 0 keeps all.")
_TOP_P = flags.DEFINE_float("top_p", 1.0, "Keep the most probable tokens of this mass.")
_STOP = flags.DEFINE_string("stop_tokens", None, stop_flag.HELP)
_RECORD = flags.DEFINE_string("record_features", "", "Record at every token: top:K, all, patched, or a features file.")
_TOP_LOGITS = flags.DEFINE_integer("record_logits", 0, "Record this many largest next-token logits.", lower_bound=0)
_ROWS = flags.DEFINE_integer("rows", 64, "Row bucket per device; part of the plan.", lower_bound=1)
_BUCKETS = flags.DEFINE_integer("unit_buckets", 8, "Buckets of a unit, the most that a kill loses.", lower_bound=1)
_LIMIT = flags.DEFINE_integer(
    "limit_features", None, "Pilot: the first features alone, a plan of its own.", lower_bound=1
)
_WORKDIR = flags.DEFINE_string("workdir", None, "Where everything is written; the same command resumes.")
_PLAN = flags.DEFINE_enum("plan", None, ["abstract", "measured"], "Only estimate units, time, memory and disk.")
_REPAIR = flags.DEFINE_bool("repair", False, "Check all data and compute damaged units again.")
_DISK = flags.DEFINE_list("disk_limits", ["0.8", "0.95"], "Fractions of the disk to warn at, and to stop at.")
_CORRECTION = flags.DEFINE_enum("correction", "bh", ["bh", "by"], "False discovery rate: bh, or by (any dependence).")
_SPLIT = flags.DEFINE_bool("split", True, "Select on half of the prompts, estimate on the others; else none is causal.")
_ALPHA = flags.DEFINE_float("alpha", 0.05, "Bound on q of a causal feature.")
_TAU = flags.DEFINE_float("tau", 0.05, "Least change of a probability of a causal feature; of log odds four times it.")
_EXPORT = flags.DEFINE_bool("export_study", False, "Also write the original study's result files (sampled).")


def main(_: list[str]) -> None:
    """Plan or run a sweep, then estimate its effects."""
    prompts = given(_PROMPTS, "a file of prompts, JSON lines with text and group")
    features = given(_FEATURES, "a file of features, the table of `screen` or JSON lines")
    workdir = folder(_WORKDIR)
    if _EXPORT.value and _OUTCOME.value != "sampled":
        raise ValueError("--export_study: the study's files hold sampled answers; needs --outcome=sampled")
    limits = numbers(_DISK, float)
    if len(limits) != 2:
        raise ValueError(f"--disk_limits: got {len(limits)} numbers; needs two, to warn at and to stop at")
    from causeway.engine.analyses.patch_sweep import run, sweep_summary
    from causeway.engine.sweep import DiskGuard
    from causeway.ports.prompts import sweep_inputs
    from causeway.ports.results import study_export

    table = sweep_inputs.read_feature_table(features)
    sweep = _sweep(table, prompts)
    settings = _effect_settings(sweep)
    run.check_effects(sweep, settings)
    if _EXPORT.value:
        study_export.check_study(sweep.settings.arms, [prompt.group for prompt in sweep.prompts])
    if _PLAN.value:
        print(run.estimate(sweep, workdir, cast(Literal["abstract", "measured"], _PLAN.value)).text())
        return
    if run.run(sweep, workdir, guard=DiskGuard(workdir, limits[0], limits[1]), repair=_REPAIR.value).stopped:
        sys.exit(_STOPPED)
    print("\n".join(sweep_summary.lines(run.finish(workdir, settings, sweep.about))))
    print(f"\neverything is in {workdir}: summary.json, effects.parquet, trials.parquet")
    if _EXPORT.value:
        print("study files: " + ", ".join(map(str, study_export.export_study(workdir, table))))


def _sweep(table, prompts_file: str):
    """The sweep the flags describe."""
    from causeway.engine.analyses.patch_sweep.features import features_of, parse_rule
    from causeway.engine.analyses.patch_sweep.patch_sweep import PatchSweep
    from causeway.engine.model.sampling import Sampling
    from causeway.engine.model.stops import stops_of
    from causeway.ports.prompts import sweep_inputs

    sampling, stop = Sampling(_TEMPERATURE.value, _TOP_K.value, _TOP_P.value), stop_flag.stops(_STOP)
    model = model_flags.load_model()
    dictionary = model_flags.load_dictionaries(model)
    answers = sweep_inputs.read_answers(_ANSWERS.value) if _ANSWERS.value else ()
    prompts = sweep_inputs.read_prompts(prompts_file, model, answers)
    layers, groups = dictionary.config.layers if model_flags.LAYERS.value else (), [p.group for p in prompts]
    rule, most = parse_rule(_VALUE.value), (_PER_LAYER.value, _LIMIT.value)
    features = features_of(table, rule, *most, groups=groups, layers=layers)
    settings = _settings(dictionary, features, sampling, stops_of(model, stop))
    return PatchSweep(model, dictionary, tuple(prompts), features, settings, model_flags.parallel())


def _settings(dictionary, features, sampling, stops):
    from causeway.engine.analyses.patch_sweep.design import arm_names
    from causeway.engine.analyses.patch_sweep.settings import SweepSettings
    from causeway.engine.model.segments import segment_lengths

    sampled = _OUTCOME.value == "sampled"
    return SweepSettings(
        outcome=_OUTCOME.value, mode=_MODE.value, scope=_SCOPE.value, semantics=_SEMANTICS.value,
        arms=arm_names(_ARMS.value, tuple(features.values), numbers(_DOSES, float), _DRAWS.value),
        trials=_TRIALS.value if sampled else 1, seed=_SEED.value, rows=_ROWS.value, unit_buckets=_BUCKETS.value,
        segments=segment_lengths(_NEW_TOKENS.value) if sampled else (), parser=_PARSER.value, stop_texts=stops.texts,
        sampling=replace(sampling, stop_tokens=stops.ids), recording=_recording(dictionary, features),
    )  # fmt: skip


def _recording(dictionary, features):
    from causeway.engine.analyses.patch_sweep.recording import make_recording
    from causeway.ports.prompts.sweep_inputs import read_feature_table

    text = _RECORD.value
    if text in ("", "all", "patched") or text.startswith("top:"):
        return make_recording(text, dictionary, features, _TOP_LOGITS.value)
    return make_recording(read_feature_table(text), dictionary, features, _TOP_LOGITS.value)


def _effect_settings(sweep):
    from causeway.engine.analyses.patch_sweep.causal_rule import CausalRule
    from causeway.engine.analyses.patch_sweep.effects import EffectSettings

    return EffectSettings(
        values=tuple(sweep.features.values), noop_is_baseline=_MODE.value == "delta", correction=_CORRECTION.value,
        split=_SPLIT.value, seed=_SEED.value, rule=CausalRule(alpha=_ALPHA.value, tau=_TAU.value),
    )  # fmt: skip


if __name__ == "__main__":
    run_driver(main, sys.argv)
