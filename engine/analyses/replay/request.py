"""`cw.replay`: which features does setting a feature change, in rollouts and along clean tokens, in a notebook."""

import contextlib
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import pyarrow as pa

from causeway.engine import scalars
from causeway.engine.analyses.patch_sweep.arms import make_arms
from causeway.engine.analyses.patch_sweep.design import FeatureSet
from causeway.engine.analyses.patch_sweep.features import features_of
from causeway.engine.analyses.patch_sweep.patch_sweep import PatchSweep
from causeway.engine.analyses.patch_sweep.recording import Recording, make_recording
from causeway.engine.analyses.patch_sweep.request import feature_table, kinds_of, rule_of, scope_of
from causeway.engine.analyses.patch_sweep.settings import SweepSettings
from causeway.engine.analyses.replay import run
from causeway.engine.analyses.replay.columns import Pair, pairs_of
from causeway.engine.analyses.replay.pathways import PathwaySettings
from causeway.engine.analyses.replay.run import Replayed
from causeway.engine.calls.argument_order import holder_of
from causeway.engine.calls.groups import Groups, grouped_prompts
from causeway.engine.devices import parallel_of
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
    random_draws: int = 19,
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
        model, prompts, value, per_layer, scope, seed, rows: as for `patch_sweep`.
        dictionary: SAEs or transcoders, in memory.
        features: the features that are set: the table of `screen`, or rows of layer, feature and value_GROUP.
        targets: rows of layer and feature whose change is asked; None for the features themselves.
        arms: some of baseline, noop, patch, ablate, random; baseline is needed, and random to call anything a pathway.
        random_draws: random features in the place of each source, of the arm random.
        trials, max_new_tokens, temperature: of each arm's rollouts of a prompt, which share their noise trial by trial.
        record_logits: how many of the largest logits are kept at every token; 0 for none.
        teacher_forced: also run edits along the clean rollouts' tokens.
        split: select on one half of the prompts and estimate on the other; without it nothing is called a pathway.
        workdir: where rollouts are kept, and where the same call resumes; None keeps nothing.

    Returns:
        Pathways, sources, where rollouts part, and logits, as tables, with a summary.

    Raises:
        ValueError: prompts, features or settings that cannot be replayed.
        KeyboardInterrupt: it was stopped; with `workdir` the same call goes on.
    """
    _check(model, dictionary, workdir)
    listed, own = grouped_prompts(prompts, model), fitted(dictionary, model.config, model.name)
    chosen = _chosen(features, value, per_layer, list(prompts))
    recording, asked = _recorded(targets, own, chosen, record_logits)
    drawn = make_arms(kinds_of(arms), tuple(chosen.values), draws=scalars.integer(random_draws, "random_draws", 1))
    settings = SweepSettings(
        "sampled", drawn, scope=scope_of(scope), parser="none", seed=seed,
        trials=scalars.integer(trials, "trials", 1), rows=scalars.integer(rows, "rows", 1), recording=recording,
        segments=segment_lengths(max_new_tokens), sampling=Sampling(temperature, stop_tokens=stops_of(model).ids),
    )  # fmt: skip
    sweep = PatchSweep(model, own, tuple(listed), chosen, settings, parallel_of(model.transformer, own))
    judged = PathwaySettings(split=scalars.truth(split, "split"), seed=seed)
    return _replayed(sweep, judged, scalars.truth(teacher_forced, "teacher_forced"), asked, workdir)


def _check(model: object, dictionary: object, workdir: object) -> None:
    """Refuse what cannot be replayed by its type."""
    check_model(model)
    holder_of("replay", dictionary)
    if not isinstance(workdir, str | Path | None):
        raise ValueError(f"workdir: got {scalars.shown(workdir)}; needs the name of a folder, or None")


def _chosen(features: Features, value: str | Mapping[str, float], per_layer: int, groups: list[str]) -> FeatureSet:
    """The features that are set."""
    most = scalars.integer(per_layer, "per_layer", 1)
    return features_of(feature_table(features), rule_of(value), most, None, groups=groups)


def _recorded(
    targets: Features | None, dictionary: Holder, chosen: FeatureSet, logits: int
) -> tuple[Recording, list[Pair] | None]:
    """What is recorded, and the features whose change is asked."""
    logits = scalars.integer(logits, "record_logits", 0)
    if targets is None:
        return make_recording("patched", dictionary, chosen, logits), None
    table = feature_table(targets, "targets", with_values=False)
    asked = pairs_of(table, "targets")
    return make_recording(chosen.with_others(table, dictionary, "targets"), dictionary, chosen, logits), asked


def _replayed(
    sweep: PatchSweep, settings: PathwaySettings, teacher_forced: bool, targets: list[Pair] | None,
    workdir: str | Path | None,
) -> Replayed:  # fmt: skip
    run.check(sweep, settings, teacher_forced, targets)
    with contextlib.nullcontext(workdir) if workdir is not None else tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        if run.run(sweep, place, teacher_forced=teacher_forced).stopped:
            raise KeyboardInterrupt(f"replay: stopped; the same call goes on in {place}")
        return run.read_stores(
            place, settings, teacher_forced=teacher_forced, targets=targets,
            text=lambda token: sweep.model.text_of([token]),
        )  # fmt: skip
