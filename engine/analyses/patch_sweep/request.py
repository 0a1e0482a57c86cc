"""`cw.patch_sweep`: which features, set to another value, change what a model answers, asked for in a notebook."""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from causeway.engine import scalars
from causeway.engine.analyses.patch_sweep import buckets, run
from causeway.engine.analyses.patch_sweep.arms import make_arms
from causeway.engine.analyses.patch_sweep.effects import EffectSettings
from causeway.engine.analyses.patch_sweep.features import features_of
from causeway.engine.analyses.patch_sweep.patch_sweep import PatchSweep
from causeway.engine.analyses.patch_sweep.settings import SweepSettings
from causeway.engine.calls.argument_order import holder_of
from causeway.engine.calls.groups import Groups, grouped_prompts
from causeway.engine.devices import parallel_of
from causeway.engine.dictionary.fit import fitted
from causeway.engine.dictionary.placement import Holder
from causeway.engine.intervention.hold import AnyHolds
from causeway.engine.intervention.scope import Scope, scope_text
from causeway.engine.model.handle import Model, check_model
from causeway.engine.outcome.answers import Answer

ARMS = ("baseline", "noop", "patch", "ablate", "random", "dose")


def patch_sweep(
    model: Model,
    prompts: Groups,
    dictionary: Holder,
    *,
    features: pa.Table | Sequence[Mapping[str, float]],
    answers: Mapping[str, str],
    value: str | Mapping[str, float] = "mean_active",
    per_layer: int = 300,
    operation: str = "set",
    arms: Sequence[str] = ARMS,
    holds: AnyHolds = "open",
    scope: Scope = "last_prompt",
    split: bool = True,
    seed: int = 0,
    rows: int = 64,
    workdir: str | Path | None = None,
    rebucket: int | None = None,
) -> pa.Table:
    """Set features to other values and compute exactly how the probabilities of answers change.

    Args:
        model: a loaded model with a tokenizer.
        prompts: groups of prompts by name; the unit of the statistics is the prompt.
        dictionary: SAEs or transcoders; of streamed ones the features that are patched are held in memory.
        features: the table of `screen`, or rows of layer, feature and value_GROUP.
        answers: the text of each answer by its label: {"yes": " yes", "no": " no"}.
        value: for features of a screening table: mean, mean_active, q10 ... q90 of each group, or numbers by group.
        operation: what patches do with it: set, add, scale, inhibit, at_most or at_least (doses go with set alone).
        per_layer: features taken of each layer of a screening table, by |d|.
        arms: kinds of arms: baseline, noop, patch, ablate, random, dose.
        holds: of each prompt's clean pass, as for `run`.
        scope: the tokens edited; see `FeatureEdit`.
        split: select on one half of the prompts and estimate on the other; without it no feature is called causal.
        seed: of every draw.
        rows: row bucket; part of what fixes the bits.
        workdir: where everything is written, and where the same call resumes; None keeps nothing but the result.
        rebucket: go on in `workdir`, where memory ran out, in fewer rows from its first unfinished prompt on.

    Returns:
        A row for each feature, contrast, group and outcome: effect, low, high, p, q, is_causal, ... (docs/patching.md).

    Raises:
        ValueError: prompts, features or answers that cannot be swept.
        KeyboardInterrupt: it was stopped; with `workdir` the same call goes on. MemoryError: says what would fit.
    """
    _check(model, dictionary, answers, workdir)
    listed = grouped_prompts(prompts, model, [Answer(text, label) for label, text in answers.items()])
    table = feature_table(features)
    chosen = features_of(table, rule_of(value), scalars.integer(per_layer, "per_layer", 1), None, groups=list(prompts))
    settings = SweepSettings(
        "exact", make_arms(kinds_of(arms), tuple(chosen.values)), scope=scope_of(scope), seed=seed,
        rows=scalars.integer(rows, "rows", 1), holds=holds, operation=operation,
    )  # fmt: skip
    own = fitted(dictionary, model.config, model.name)
    sweep = PatchSweep(model, own, tuple(listed), chosen, settings, parallel_of(model.transformer, own))
    compared = EffectSettings(values=tuple(chosen.values), split=scalars.truth(split, "split"), seed=seed)
    run.check_effects(sweep, compared)
    return _kept(sweep, compared, workdir, rebucket)


def _check(model: object, dictionary: object, answers: object, workdir: object) -> None:
    """Refuse what cannot be swept by its type."""
    check_model(model)
    holder_of("patch_sweep", dictionary)
    if not isinstance(answers, Mapping) or not all(isinstance(text, str) for pair in answers.items() for text in pair):
        raise ValueError(f"answers: got {scalars.shown(answers)}; needs texts by label, such as {{'yes': ' yes'}}")
    if not isinstance(workdir, str | Path | None):
        raise ValueError(f"workdir: got {scalars.shown(workdir)}; needs the name of a folder, or None")


def _kept(sweep: PatchSweep, compared: EffectSettings, workdir: str | Path | None, rebucket: int | None) -> pa.Table:
    """The effects, everything kept in `workdir` if there is one."""
    if rebucket is not None:
        if workdir is None:
            raise ValueError("rebucket: got no workdir; needs that of the run that memory ran out in")
        sweep = buckets.go_on(sweep, Path(workdir), scalars.integer(rebucket, "rebucket", 1))
    if workdir is not None:
        return _effects(sweep, compared, Path(workdir))
    with tempfile.TemporaryDirectory() as folder:
        return _effects(sweep, compared, Path(folder))


def _effects(sweep: PatchSweep, compared: EffectSettings, workdir: Path) -> pa.Table:
    stopped = run.run(sweep, workdir).stopped
    if stopped == "memory":
        raise MemoryError(f"patch_sweep: {buckets.fitting_bucket(sweep).text()}")
    if stopped:
        raise KeyboardInterrupt(f"patch_sweep: stopped; the same call goes on in {workdir}")
    run.finish(workdir, compared, sweep.about)
    return pq.read_table(workdir / "effects.parquet", memory_map=False)


def rule_of(value: str | Mapping[str, float]) -> str | Mapping[str, float]:
    """A rule of values by name, or numbers by group.

    Raises:
        ValueError: neither.
    """
    if isinstance(value, Mapping):
        return {scalars.text(name, "value"): scalars.real(number, "value") for name, number in value.items()}
    return scalars.text(value, "value")


def scope_of(scope: Scope) -> str:
    """A scope as a text, which may name places that each prompt has for itself."""
    return scope if isinstance(scope, str) else scope_text(scope)


def kinds_of(arms: Sequence[str]) -> list[str]:
    """Kinds of arms, as texts.

    Raises:
        ValueError: no list of texts.
    """
    if not isinstance(arms, list | tuple):
        raise ValueError(f"arms: got {scalars.shown(arms)}; needs a list of some of {', '.join(ARMS)}")
    return [scalars.text(arm, "arms") for arm in arms]


def feature_table(
    features: pa.Table | Sequence[Mapping[str, float]], name: str = "features", with_values: bool = True
) -> pa.Table:
    """Features as a table, whichever way they were given.

    Args:
        name: of the argument. with_values: whether they need values, for the error.

    Raises:
        ValueError: neither a table nor rows of layer and feature.
    """
    rows = isinstance(features, list | tuple) and all(isinstance(row, Mapping) for row in features)
    table = pa.Table.from_pylist(list(features)) if rows else features
    if not isinstance(table, pa.Table) or not {"layer", "feature"} <= set(table.column_names):
        needed = "layer, feature and value_GROUP" if with_values else "layer and feature"
        raise ValueError(f"{name}: got {scalars.shown(features)}; needs the table of screen, or rows of {needed}")
    return table
