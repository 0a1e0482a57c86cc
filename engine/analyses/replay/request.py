"""`cw.replay`: which features does setting a feature change, in rollouts and along clean tokens, in a notebook."""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import pyarrow as pa

from causeway.engine import scalars
from causeway.engine.analyses.patch_sweep.arms import make_arms
from causeway.engine.analyses.patch_sweep.features import features_of
from causeway.engine.analyses.patch_sweep.patch_sweep import PatchSweep
from causeway.engine.analyses.patch_sweep.recording import make_recording
from causeway.engine.analyses.patch_sweep.request import feature_table, kinds_of, rule_of, scope_of
from causeway.engine.analyses.patch_sweep.settings import SweepSettings
from causeway.engine.analyses.replay import run
from causeway.engine.analyses.replay.columns import pairs_of
from causeway.engine.analyses.replay.pathways import PathwaySettings
from causeway.engine.analyses.replay.run import Replayed
from causeway.engine.calls.argument_order import holder_of
from causeway.engine.calls.groups import Groups, grouped_prompts
from causeway.engine.devices import local_parallel
from causeway.engine.dictionary.fit import fitted
from causeway.engine.dictionary.placement import Holder
from causeway.engine.intervention.scope import Scope
from causeway.engine.model.handle import Model, check_model
from causeway.engine.model.sampling import Sampling
from causeway.engine.model.segments import segment_lengths
from causeway.engine.model.stops import stops_of

ARMS = ("baseline", "noop", "patch", "random")
Features: TypeAlias = pa.Table | Sequence[Mapping[str, float]]


def replay(
    model: Model,
    prompts: Groups,
    dictionary: Holder,
    *,
    features: Features,
    targets: Features | None = None,
    value: str | Mapping[str, float] = "mean_active",
    per_layer: int = 300,
    arms: Sequence[str] = ARMS,
    scope: Scope = "last_prompt",
    trials: int = 10,
    max_new_tokens: int = 100,
    temperature: float = 0.7,
    record_logits: int = 50,
    teacher_forced: bool = True,
    split: bool = True,
    seed: int = 0,
    rows: int = 64,
    workdir: str | Path | None = None,
) -> Replayed:
    """Set features to other values in rollouts and measure how other features change, and through what.

    Args:
        model: a loaded model with a tokenizer.
        prompts: groups of prompts by name; the unit of the statistics is the prompt.
        dictionary: SAEs or transcoders, in memory.
        features: the features that are set: the table of `screen`, or rows of layer, feature and value_GROUP.
        targets: rows of layer and feature whose change is asked; None for the features themselves.
        value, per_layer: as for `patch_sweep`.
        arms: some of baseline, noop, patch, ablate, random; baseline is needed.
        scope: the tokens edited; see `FeatureEdit`.
        trials: rollouts of each arm and prompt; arms share their noise trial by trial.
        max_new_tokens, temperature: of rollouts.
        record_logits: how many of the largest logits are kept at every token; 0 for none.
        teacher_forced: also run edits along the clean rollouts' tokens.
        split: select on one half of the prompts and estimate on the other; without it nothing is called a pathway.
        seed: of every draw.
        rows: row bucket; part of what fixes the bits.
        workdir: where everything is written, and where the same call resumes; None keeps nothing but the result.

    Returns:
        Pathways, sources, where rollouts part, and logits, as tables, with a summary.

    Raises:
        ValueError: prompts, features or settings that cannot be replayed.
        KeyboardInterrupt: it was stopped; with `workdir` the same call goes on.
    """
    check_model(model)
    holder_of("replay", dictionary)
    if not isinstance(workdir, str | Path | None):
        raise ValueError(f"workdir: got {scalars.shown(workdir)}; needs the name of a folder, or None")
    forced, judged = (
        scalars.truth(teacher_forced, "teacher_forced"),
        PathwaySettings(split=scalars.truth(split, "split"), seed=seed),
    )
    sampling = Sampling(temperature, stop_tokens=stops_of(model).ids)
    listed, own = grouped_prompts(prompts, model, ()), fitted(dictionary, model.config, model.name)
    per_layer = scalars.integer(per_layer, "per_layer", 1)
    chosen = features_of(feature_table(features), rule_of(value), per_layer, None, groups=list(prompts))
    asked = None if targets is None else feature_table(targets, "targets", with_values=False)
    wanted = "patched" if asked is None else chosen.with_others(asked, own, "targets")
    settings = SweepSettings(
        "sampled", make_arms(kinds_of(arms), tuple(chosen.values)), scope=scope_of(scope), seed=seed,
        trials=scalars.integer(trials, "trials", 1), rows=scalars.integer(rows, "rows", 1), parser="none",
        segments=segment_lengths(max_new_tokens), sampling=sampling,
        recording=make_recording(wanted, own, chosen, scalars.integer(record_logits, "record_logits", 0)),
    )  # fmt: skip
    sweep = PatchSweep(model, own, tuple(listed), chosen, settings, local_parallel(1))
    run.check(sweep, forced)
    if workdir is not None:
        return _replayed(sweep, judged, forced, asked, Path(workdir))
    with tempfile.TemporaryDirectory() as folder:
        return _replayed(sweep, judged, forced, asked, Path(folder))


def _replayed(
    sweep: PatchSweep, settings: PathwaySettings, teacher_forced: bool, asked: pa.Table | None, workdir: Path
) -> Replayed:
    if run.run(sweep, workdir, teacher_forced=teacher_forced).stopped:
        raise KeyboardInterrupt(f"replay: stopped; the same call goes on in {workdir}")
    targets = None if asked is None else pairs_of(asked, "targets")
    return run.finish(
        workdir, settings, teacher_forced=teacher_forced, targets=targets,
        text=lambda token: sweep.model.text_of([token]),
    )  # fmt: skip
