"""Flags of the commands that set features to other values in many prompts, and the sweep that they describe."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from causeway.drivers.flags import model_flags, prompt_records, stop_flag
from causeway.drivers.flags.flag_values import named, numbers
from causeway.drivers.flags.table import PROCESSES, take

if TYPE_CHECKING:
    import pyarrow as pa

    from causeway.engine.analyses.patch_sweep.design import FeatureSet
    from causeway.engine.analyses.patch_sweep.patch_sweep import PatchSweep
    from causeway.engine.analyses.patch_sweep.recording import Recording
    from causeway.engine.analyses.patch_sweep.settings import Outcome, SweepSettings
    from causeway.engine.model.sampling import Sampling
    from causeway.engine.model.stops import Stops
    from causeway.engine.sweep.guard import DiskGuard

# What both take, each with its own defaults of the others: arms random_draws trials record_features record_logits.
FLAGS = take(
    "answers features per_layer value value_operation form holds scope semantics parser seed temperature "
    "top_k top_p stop_tokens unit_buckets limit_features workdir plan card repair disk_limits correction halves alpha "
    + PROCESSES,
    max_new_tokens=100,
    batch_rows=64,
)


def disk_guard(workdir: Path) -> DiskGuard:
    """The guard of --disk_limits.

    Raises:
        ValueError: not two fractions in order.
    """
    limits = numbers("disk_limits", float)
    if len(limits) != 2:
        raise ValueError(f"--disk_limits: got {len(limits)} numbers; needs two, to warn at and to stop at")
    from causeway.engine.sweep.guard import DiskGuard

    return DiskGuard(workdir, limits[0], limits[1])


def sweep(table: pa.Table, outcome: Outcome, recorded: pa.Table | None = None, unread: bool = False) -> PatchSweep:
    """The sweep the flags describe.

    Args:
        table: of --features. recorded: features to record beside those that are patched. unread: whether prompts may
            be without answers, where nothing is read of what is written.
    """
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
    model_flags.dictionaries_named()
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
    found = _settings(outcome, features, sampling, stops_of(model, stop), _recording(dictionary, features, recorded))
    nothing = unread and not FLAGS.parser and not all(prompt.record.answers for prompt in prompts)
    settings = replace(found, parser="none") if nothing else found
    return PatchSweep(model, dictionary, tuple(prompts), features, settings, model_flags.parallel())


def _settings(
    outcome: Outcome, features: FeatureSet, sampling: Sampling, stops: Stops, recording: Recording
) -> SweepSettings:
    from causeway.engine.analyses.patch_sweep.arms import make_arms
    from causeway.engine.analyses.patch_sweep.settings import SweepSettings
    from causeway.engine.model.segments import segment_lengths

    sampled, doses = outcome == "sampled", numbers("doses", float) if "doses" in FLAGS else ()
    return SweepSettings(
        outcome=outcome, form=FLAGS.form, holds=tuple(FLAGS.holds), scope=FLAGS.scope, semantics=FLAGS.semantics,
        arms=make_arms(FLAGS.arms, tuple(features.values), doses, FLAGS.random_draws),
        trials=FLAGS.trials if sampled else 1, seed=FLAGS.seed, rows=FLAGS.batch_rows, unit_buckets=FLAGS.unit_buckets,
        segments=segment_lengths(FLAGS.max_new_tokens) if sampled else (),
        operation=FLAGS.value_operation, parser=FLAGS.parser or "answers", stop_texts=stops.texts,
        sampling=replace(sampling, stop_tokens=stops.ids), recording=recording,
    )  # fmt: skip


def _recording(dictionary: Any, features: FeatureSet, recorded: pa.Table | None) -> Recording:
    from causeway.engine.analyses.patch_sweep.recording import make_recording
    from causeway.ports.prompts.sweep_inputs import read_feature_table

    text: Any = FLAGS.record_features
    if recorded is not None and text == "patched":
        text = features.with_others(recorded, dictionary, "targets")
    elif text not in ("", "all", "patched") and not text.startswith("top:"):
        text = read_feature_table(text)
    return make_recording(text, dictionary, features, FLAGS.record_logits)
