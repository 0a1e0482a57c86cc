"""The demo's first part: which features of the bundled model change its decisions, computed exactly and then played.

Both sweeps set features at the last prompt token and read whole answers (" stop.", " bet $20."), on the same prompts,
so that they estimate the same effects. Rollouts are drawn only for the features that the exact sweep found strongest:
few tests and many rollouts, because a handful of rollouts of each of many features could not reach q < 0.05.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from causeway.drivers.flags import model_flags

if TYPE_CHECKING:
    from causeway.engine.analyses.patch_sweep.design import FeatureSet
    from causeway.engine.analyses.patch_sweep.patch_sweep import PatchSweep
    from causeway.engine.dictionary.dictionary import Dictionary
    from causeway.engine.model.handle import Model
    from causeway.engine.tokenized_prompt import TokenizedPrompt

GROUPS = ("safe", "risky")
OUTCOME = "p_bet"
SHOWN, TRIALS, NEW_TOKENS = 5, 16, 8


def exact_sweep(
    model: Model, dictionary: Dictionary, prompts: tuple[TokenizedPrompt, ...], features: FeatureSet, seed: int
) -> PatchSweep:
    """The six conditions of the study with the controls that make them mean something."""
    from causeway.engine.analyses.patch_sweep.arms import make_arms
    from causeway.engine.analyses.patch_sweep.patch_sweep import PatchSweep
    from causeway.engine.analyses.patch_sweep.settings import SweepSettings

    arms = make_arms(("baseline", "noop", "patch", "ablate", "random", "dose"), GROUPS, doses=(0.5, 1.5))
    settings = SweepSettings("exact", arms, rows=256, unit_buckets=16, seed=seed)
    return PatchSweep(model, dictionary, prompts, features, settings, model_flags.parallel())


def sampled_sweep(exact: PatchSweep, rows: list[dict]) -> PatchSweep:
    """Rollouts of the prompts of the exact sweep, for the features of some rows of its sweep_summary."""
    from causeway.engine.analyses.patch_sweep.arms import make_arms
    from causeway.engine.model.sampling import Sampling

    places = list(zip(exact.features.layer.tolist(), exact.features.feature.tolist(), strict=True))
    features = exact.features.take([places.index((row["layer"], row["feature"])) for row in rows])
    settings = dataclasses.replace(
        exact.settings, outcome="sampled", arms=make_arms(("baseline", "patch", "ablate"), GROUPS), trials=TRIALS,
        segments=(NEW_TOKENS,), sampling=Sampling(temperature=1.0, stop_tokens=exact.model.stop_ids),
    )  # fmt: skip
    return dataclasses.replace(exact, features=features, settings=settings)


def show_sweeps(
    model: Model,
    dictionary: Dictionary,
    prompts: tuple[TokenizedPrompt, ...],
    features: FeatureSet,
    workdir: Path,
    seed: int,
) -> None:
    """Run or resume both and print what they found."""
    from causeway.engine.analyses.patch_sweep import sweep_summary

    exact = exact_sweep(model, dictionary, prompts, features, seed)
    print(f"\nexact: {_count(exact)} answer distributions computed", flush=True)
    found = _finished(exact, workdir / "exact")
    kept = {name: found["outcomes"][name] for name in (OUTCOME, "expected_amount")}
    print("\n".join(sweep_summary.lines(found | {"outcomes": kept}, shown=SHOWN)))
    rows = found["outcomes"][OUTCOME]["strongest"][:SHOWN]
    sampled = sampled_sweep(exact, rows)
    print(f"\nsampled: {_count(sampled)} rollouts played, for the features that change {OUTCOME} most", flush=True)
    _finished(sampled, workdir / "sampled")
    print("\n".join(_compared(rows, workdir / "sampled")))


def _count(sweep: PatchSweep) -> str:
    return f"{len(sweep.rows) * len(sweep.prompts):,}"


def _finished(sweep: PatchSweep, workdir: Path) -> dict:
    """The summary of a sweep, run as far as it was not."""
    from causeway.engine.analyses.patch_sweep import run
    from causeway.engine.analyses.patch_sweep.effects import EffectSettings

    if run.run(sweep, workdir).stopped:
        raise SystemExit(3)
    return run.finish(workdir, EffectSettings(values=GROUPS, split=True), sweep.about)


def _compared(exact: list[dict], workdir: Path) -> list[str]:
    """Exact effects beside those of the rollouts, on the same half of the prompts, and how far they agree."""
    import pyarrow.parquet as pq

    effects = pq.read_table(workdir / "effects.parquet", filters=[("outcome", "=", OUTCOME), ("group", "=", "all")])
    found = {(row["layer"], row["feature"], row["contrast"]): row for row in effects.to_pylist()}
    lines, agree, rollouts = [], 0, 0
    for row in exact:
        # In delta form the no-op is the baseline to the bit, so rollouts do not run it.
        other = found[row["layer"], row["feature"], row["contrast"].replace("noop", "baseline")]
        rollouts, bounds = TRIALS * other["n_prompts"], (other["low"], other["high"])
        bounded = None not in bounds
        agree += bounded and bounds[0] <= row["effect"] <= bounds[1]
        lines.append(
            f"  layer {row['layer']:>2} feature {row['feature']:>6}  {row['contrast']:<28} exact {row['effect']:+.3f}, "
            f"rollouts {other['effect']:+.3f} " + ("[{:+.3f}, {:+.3f}]".format(*bounds) if bounded else "no interval")
        )
    told = f"the exact effect is inside the rollouts' interval for {agree} of {len(exact)}"
    less = f"; {rollouts} rollouts of an arm do not show an effect below {1 / rollouts:.3f}, nor bound a rare one"
    return [*lines, told + (less if agree < len(exact) else "")]
