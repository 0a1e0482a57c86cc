"""`replay_pathways.parquet`: a row for each source, arm, reference, target, measure and step.

    source      the feature that is set, always; target: the feature whose change is measured
    route       downstream: the target is in a later layer. through_tokens: it is in an earlier layer or the same, which
                an edit cannot reach but by the tokens that are written
    measure     free: each arm writes its own text. teacher_forced: all go along the clean rollout's tokens
    step        last_prompt, or generated: the mean over generated tokens (`gather`)
    delta       mean over prompts of edited - reference, in the dictionary's own scale; low, high, p, q: `estimates`; q
                over all pairs of a (route, measure, step, reference)
    null_low, null_high, exceeds_null      what random features do to the target in the source's place: +- the bound
                that one more of them stays within with probability 1 - alpha (`stats.conformal`), of the draws of the
                same source and value, which are pushed as far as it is. Other sources' are pushed otherwise, and
                effects are not linear in the push; null where a source has too few draws (19 are needed at 5 %)
    is_pathway  q < alpha, replicated on the other half of the prompts, and beyond the band; null where one of these
                cannot be told and none fails
    original_*  the study's own rules (`as_published.replay_rules`); its source and target are the wrong way round,
                and null where the target is in a later layer, at which its rule does not look

A target in the source's own layer is left out at positions that are edited: its reading there is that of the edit
itself, re-encoded. So is the source, whose change is the dose (`replay_sources.parquet`). Changes that cannot be
(through tokens, where the tokens are the same) are measured like all others, and are 0.

Shapes: T targets. Memory: that of the table, and of one block of comparisons.
"""

import dataclasses
from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Float, Int

from causeway.engine import scalars
from causeway.engine.analyses.as_published.replay_rules import trial_correlation, trial_test
from causeway.engine.analyses.replay.columns import Columns
from causeway.engine.analyses.replay.comparisons import Comparison
from causeway.engine.analyses.replay.estimates import Estimate, Halves, estimated, prompt_means
from causeway.engine.analyses.replay.gather import GENERATED, LAST, STEPS, Readings, Source, gathered
from causeway.engine.stats import multiple
from causeway.engine.stats.conformal import conformal_bound, fewest_draws

DOWNSTREAM, THROUGH_TOKENS = "downstream", "through_tokens"
_NAMES = ("arm", "reference", "route", "measure", "step")


@dataclasses.dataclass(frozen=True)
class PathwaySettings:
    """How pathways are judged.

    Attributes:
        correction: of q. alpha: bound on q, and on what is beyond the band of random features. split: select on half
            of the prompts, estimate on the other. seed: of it.
    """

    correction: multiple.Method = "bh"
    alpha: float = 0.05
    split: bool = True
    seed: int = 0

    def __post_init__(self):
        scalars.seed(self.seed)
        if not 0 < self.alpha < 1:
            raise ValueError(f"alpha: got {self.alpha}; needs a number above 0 and below 1")

    @property
    def draws(self) -> int:
        """Random features of each source and value without which nothing is called a pathway."""
        return fewest_draws(self.alpha)


def edited_steps(scope: str) -> tuple[str, ...]:
    """The steps at which a scope may edit; positions of the prompt may be its last."""
    if scope in ("last_prompt_and_decode", "all"):
        return STEPS
    return (GENERATED,) if scope == "decode" else (LAST,)


def pathway_columns(
    measure: str, source: Source, edits: Sequence[Comparison], controls: Sequence[Comparison], columns: Columns,
    halves: Halves | None, share: float,
) -> Iterator[dict[str, np.ndarray]]:  # fmt: skip
    """The rows of each comparison and step, before what is corrected over all of them.

    Args:
        share: of random features inside the band.
    """
    scope = source.clean.settings["scope"]
    bands, none = _bands(source, controls, columns, halves, share), np.full(len(columns), np.nan)
    for one, by_step in gathered(source, edits, columns):
        for step, readings in by_step.items():
            kept = _kept(one, columns, step in edited_steps(scope))
            found = estimated(readings, columns.find((one.layer, one.feature)), halves)
            band = bands.get(one.controls, {}).get(step, none)
            made = _named(one, columns, measure, step) | _numbers(found, band, readings)
            made |= _original(one, columns, readings)
            yield {name: values[kept] for name, values in made.items()}


def _kept(one: Comparison, columns: Columns, edited: bool) -> Bool[np.ndarray, " T"]:
    own = columns.layer == one.layer
    return columns.reported & ~(own if edited else own & (columns.feature == one.feature))


def _bands(
    source: Source, controls: Sequence[Comparison], columns: Columns, halves: Halves | None, share: float
) -> dict[Hashable, dict[str, Float[np.ndarray, " T"]]]:
    """What random features in the place of each source do, by step, on the prompts that estimate."""
    found: dict[Hashable, list[dict[str, np.ndarray]]] = {}
    for one, by_step in gathered(source, controls, columns):
        deltas = {step: _mean(prompt_means(readings.change), halves) for step, readings in by_step.items()}
        found.setdefault(one.controls, []).append(deltas)
    return {
        name: {step: conformal_bound(np.abs(np.stack([one[step] for one in draws])), share) for step in STEPS}
        for name, draws in found.items()
    }


def _mean(means: Float[np.ndarray, "P T"], halves: Halves | None) -> Float[np.ndarray, " T"]:
    return prompt_means((means if halves is None else means[halves[1]])[None])[0]


def _named(one: Comparison, columns: Columns, measure: str, step: str) -> dict[str, np.ndarray]:
    """What is compared."""
    count = len(columns)
    route = np.where(columns.layer > one.layer, DOWNSTREAM, THROUGH_TOKENS)
    return {
        "source_layer": np.full(count, one.layer, np.int32), "source_feature": np.full(count, one.feature, np.int32),
        "target_layer": columns.layer.astype(np.int32), "target_feature": columns.feature.astype(np.int32),
        "arm": np.full(count, one.arm), "reference": np.full(count, one.reference),
        "route": route, "measure": np.full(count, measure), "step": np.full(count, step),
    }  # fmt: skip


def _numbers(found: Estimate, band: Float[np.ndarray, " T"], readings: Readings) -> dict[str, np.ndarray]:
    made = {f.name: getattr(found, f.name) for f in dataclasses.fields(found)}
    with np.errstate(invalid="ignore"):
        beyond = np.abs(found.delta) > band
    exceeds = np.where(np.isnan(band) | np.isnan(found.delta), -1, beyond.astype(int))
    return made | {"null_low": -band, "null_high": band, "exceeds_null": exceeds, "unseen": readings.unseen}


def _original(one: Comparison, columns: Columns, readings: Readings) -> dict[str, np.ndarray]:
    """The study's rules, with its own names for source and target."""
    looked = columns.layer < one.layer
    tested = trial_test(readings.edited, readings.plain)
    place = columns.find((one.layer, one.feature))
    own = np.full(readings.edited.shape[:2], np.nan) if place is None else readings.edited[:, :, place]
    correlated = trial_correlation(own, readings.edited)

    def where(values: np.ndarray | int) -> np.ndarray:
        return np.where(looked, values, -1)

    return {
        "original_source_layer": where(columns.layer), "original_source_feature": where(columns.feature),
        "original_target_layer": where(one.layer), "original_target_feature": where(one.feature),
        "original_effect": tested.effect, "original_t": tested.t, "original_p": tested.p,
        "original_is_pathway": where(tested.is_pathway.astype(int)),
        "original_correlation": correlated.r, "original_correlation_p": correlated.p,
        "original_shared_trials": correlated.shared,
        "original_is_correlated": np.where(np.isnan(correlated.r), -1, correlated.holds.astype(int)),
    }  # fmt: skip


# Columns in which -1 stands for null.
_TRUTHS = ("replicated", "exceeds_null", "is_pathway", "original_is_pathway", "original_is_correlated")
_IDS = ("original_source_layer", "original_source_feature", "original_target_layer", "original_target_feature")
_COUNTS = ("prompts", "prompts_selection", "original_shared_trials")


def pathway_table(parts: Sequence[Mapping[str, np.ndarray]], settings: PathwaySettings) -> pa.Table:
    """All rows, with q and what follows from it."""
    rows = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    rows["q"] = _q(rows, settings.correction)
    rows["is_pathway"] = _decided(rows, settings.alpha)
    first = ("source_layer", "source_feature", "target_layer", "target_feature", *_NAMES[2:], *_NAMES[:2])
    order = [*first, "delta", "low", "high", "p", "q", "correlation", "prompts", "replicated"]
    order += [name for name in rows if name not in order]
    return pa.table({name: _array(name, rows[name]) for name in order})


def _q(rows: Mapping[str, np.ndarray], correction: multiple.Method) -> Float[np.ndarray, " rows"]:
    """Each family by itself."""
    families = np.stack([rows[name] for name in ("route", "measure", "step", "reference")])
    _, family = np.unique(families, axis=1, return_inverse=True)
    q = np.full(len(rows["p"]), np.nan)
    for number in range(int(family.max(initial=-1)) + 1):
        q[family == number] = multiple.adjust(rows["p"][family == number], correction).q
    return q


def _decided(rows: Mapping[str, np.ndarray], alpha: float) -> Int[np.ndarray, " rows"]:
    """1 where all three hold, 0 where one fails, -1 where it cannot be told."""
    with np.errstate(invalid="ignore"):
        small = np.where(np.isnan(rows["q"]), -1, (rows["q"] < alpha).astype(int))
    held = np.stack([small, rows["replicated"], rows["exceeds_null"]])
    return np.where((held == 0).any(axis=0), 0, np.where((held == 1).all(axis=0), 1, -1))


def _array(name: str, values: np.ndarray) -> pa.Array:
    if name in _NAMES:
        return pa.array(values.tolist(), pa.string()).dictionary_encode()
    if name in _TRUTHS:
        return pa.array(values == 1, pa.bool_(), mask=values < 0)
    if name in _IDS:
        return pa.array(values, pa.int32(), mask=values < 0)
    kind: Any = pa.int32() if name in _COUNTS or values.dtype.kind == "i" else pa.float64()
    return pa.array(values, kind, from_pandas=True)
