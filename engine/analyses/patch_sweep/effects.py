"""Effects of patched features: every contrast, context and outcome of a trials table, tested and corrected.

One row of the result is (layer, feature, contrast, group, outcome):

    effect, low, high     mean paired difference, arm minus reference, and the interval named in `interval`
    p, q                  by the method named in `test`, which is the interval's: p < 0.05 where a 95 % interval of the
                          same prompts leaves 0 out; q over the family (features x contrasts in the roles primary and
                          tested), one family for each (group, outcome), of `family_size` tests; other roles: p alone,
                          the dose ladder neither
    n_distinct            prompts that stand off the others; too few of them, or of prompts, and low, high, p are null
    unit, note            what interval and p generalise over ("prompt" or "trial"), and what to beware of

Group "all" pools the prompts of all contexts; it is where `is_causal` is decided (`causal_rule`). What
is none of the answers is an outcome of its own, p_other (p_invalid of sampled trials), tested like the others. With
`split`, p and q come from one half of the prompts and effect and interval from the other, so a selected effect is not
inflated by its selection.

Shapes: F features, C contrasts, G groups, O outcomes: F C G O rows. Cost: reading aside, elementwise.
"""

import dataclasses
import json
from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset
from jaxtyping import Bool

from causeway.engine import scalars
from causeway.engine.analyses.patch_sweep.arms import BASELINE, NOOP, Arm
from causeway.engine.analyses.patch_sweep.causal_rule import CausalRule, Verdict, decide
from causeway.engine.analyses.patch_sweep.cells import Cells, TrialCells, read_trials
from causeway.engine.analyses.patch_sweep.contrasts import FAMILY, Contrast, make_contrasts
from causeway.engine.analyses.patch_sweep.effect_results import ALL, Key, Result
from causeway.engine.analyses.patch_sweep.estimates import Estimate, EstimateSettings, estimate
from causeway.engine.stats import multiple
from causeway.engine.stats.paired import FEWEST_DISTINCT, FEWEST_PROMPTS
from causeway.engine.stats.splits import selection_half

METADATA_KEY = b"causeway.effects"


@dataclasses.dataclass(frozen=True)
class EffectSettings:
    """What to compare and how to correct.

    Attributes:
        values: patch values in order, the reference first; () sorts them by name.
        noop_is_baseline: whether the no-op equals the baseline (edits in delta form) and may be left out.
        correction: "bh", or "by" for any dependence between tests.
        split: select on one half of the prompts, estimate on the other; without it nothing is called causal.
        seed: key of the split.
        estimates: intervals and tests.
        rule: when a feature is called causal.
    """

    values: tuple[str, ...] = ()
    noop_is_baseline: bool = True
    correction: multiple.Method = "bh"
    split: bool = True
    seed: int = 0
    estimates: EstimateSettings = dataclasses.field(default_factory=EstimateSettings)
    rule: CausalRule = dataclasses.field(default_factory=CausalRule)

    def __post_init__(self):
        scalars.seed(self.seed)


def effects(source: pa.Table | pyarrow.dataset.Dataset, settings: EffectSettings | None = None) -> pa.Table:
    """The effects table of a trials table.

    Args:
        source: trials, with the columns named in `cells`.
        settings: by default everything as `EffectSettings` has it.

    Raises:
        ValueError: missing columns or reference arm, an unreadable arm, an unknown method.
    """
    settings = settings or EffectSettings()
    cells = read_trials(source)
    contrasts = make_contrasts(
        [Arm.parse(name) for name in cells.arms], settings.values or None, noop_is_baseline=settings.noop_is_baseline
    )
    halves = _halves(cells, settings)
    results: dict[Key, Result] = {}
    for outcome in cells.outcomes:
        results |= _outcome_results(cells, outcome, contrasts, halves, settings)
    verdicts = {
        (outcome, contrast.name): decide(results, outcome, contrast, contrasts, cells.layer, settings.rule)
        for outcome in cells.outcomes
        for contrast in contrasts
        if contrast.role in FAMILY
    }
    metadata = {METADATA_KEY: json.dumps(_reading(cells, settings, halves is not None))}
    return _table(cells, results, verdicts).replace_schema_metadata(metadata)


Halves = tuple[Bool[np.ndarray, " P"], Bool[np.ndarray, " P"]]


def _halves(cells: TrialCells, settings: EffectSettings) -> Halves | None:
    """Selection and estimation prompts; None without a split, or with too few prompts for two halves."""
    if not settings.split or len(cells.prompt_ids) < 2 * FEWEST_PROMPTS:
        return None
    chosen = selection_half(cells.prompt_ids, cells.group_of.tolist(), seed=settings.seed)
    return chosen, ~chosen


def _outcome_results(
    cells: TrialCells, outcome: str, contrasts: Sequence[Contrast], halves: Halves | None, settings: EffectSettings
) -> dict[Key, Result]:
    """Results of one outcome in all groups, with q filled in."""
    everyone = np.ones(len(cells.prompt_ids), dtype=bool)
    groups = {ALL: everyone} | ({g: cells.group_of == g for g in cells.groups} if len(cells.groups) > 1 else {})
    results = {}
    for group, members in groups.items():
        block = [_result(cells, outcome, contrast, group, members, halves, settings) for contrast in contrasts]
        for result in _corrected(block, settings.correction):
            results[outcome, result.contrast.name, group] = result
    return results


def _result(
    cells: TrialCells,
    outcome: str,
    contrast: Contrast,
    group: str,
    members: Bool[np.ndarray, " P"],
    halves: Halves | None,
    settings: EffectSettings,
) -> Result:
    def compare(prompts: Bool[np.ndarray, " P"], tested: bool) -> Estimate:
        arms = [_arm(cells, outcome, arm, settings).at((slice(None), prompts)) for arm in arms_of]
        return estimate(arms[0], arms[1], settings.estimates, sampled=cells.sampled, tested=tested)

    arms_of = (contrast.arm, contrast.reference)
    tested = contrast.role != "dose"
    if halves is None:
        return Result(contrast, group, outcome, compare(members, tested), None)
    return Result(contrast, group, outcome, compare(members & halves[1], False), compare(members & halves[0], tested))


def _arm(cells: TrialCells, outcome: str, arm: Arm, settings: EffectSettings) -> Cells:
    """Cells of an arm; where a no-op was not run and is the baseline, the baseline's."""
    found = cells.arm(outcome, next(name for name in cells.arms if Arm.parse(name) == arm))
    if arm == NOOP and settings.noop_is_baseline and str(BASELINE) in cells.arms:
        return found.filled_from(cells.arm(outcome, str(BASELINE)))
    return found


def _corrected(block: Sequence[Result], correction: multiple.Method) -> list[Result]:
    """The results of one (group, outcome) with the q of the family."""
    members = [r for r in block if r.contrast.role in FAMILY]
    if not members:
        return list(block)
    family = multiple.adjust(np.stack([r.tested.p for r in members]), correction)
    q = {r.contrast.name: row for r, row in zip(members, family.q, strict=True)}
    return [
        dataclasses.replace(r, q=q[r.contrast.name], family_size=family.tested) if r.contrast.name in q else r
        for r in block
    ]


def _reading(cells: TrialCells, settings: EffectSettings, split: bool) -> dict[str, object]:
    """What a reader of the table must know."""
    asked = settings.split and not split
    return {
        "sign": "effect, low, high are arm minus reference, as the contrast is written",
        "interval": f"{settings.estimates.confidence:.0%}, of the mean over prompts like these; method in the row",
        "p": "by the interval's own method: below 0.05 where a 95 % interval of the same prompts leaves 0 out",
        "cannot tell": f"low, high and p are null below {FEWEST_PROMPTS} prompts, or {FEWEST_DISTINCT} off the others",
        "q": f"{settings.correction} over features x contrasts ({', '.join(FAMILY)}), each group and outcome apart; "
        "too small where differences are strongly skewed: nothing is causal without random features and a second half",
        "outcomes": list(cells.outcomes),
        "log_odds": cells.log_odds,
        "kind": "sampled trials" if cells.sampled else "exact probabilities",
        "groups": {g: int((cells.group_of == g).sum()) for g in cells.groups},
        "split": f"not done: {len(cells.prompt_ids)} prompts, needs {2 * FEWEST_PROMPTS}" if asked else split,
        "settings": dataclasses.asdict(settings),
    }


def _table(cells: TrialCells, results: Mapping[Key, Result], verdicts: Mapping[tuple[str, str], Verdict]) -> pa.Table:
    blocks = list(results.values())
    features = len(cells.feature)
    columns: dict[str, pa.Array] = {
        "layer": pa.array(np.tile(cells.layer, len(blocks)), pa.int32()),
        "feature": pa.array(np.tile(cells.feature, len(blocks)), pa.int32()),
    }
    names = [block.names() for block in blocks]
    columns |= {name: _repeated([block[name] for block in names], features) for name in names[0]}
    numbers = [block.numbers() for block in blocks]
    for name in numbers[0]:
        columns[name] = pa.array(np.concatenate([block[name] for block in numbers]), from_pandas=True)
    decided = [verdicts.get((b.outcome, b.contrast.name)) if b.group == ALL else None for b in blocks]
    absent = Verdict.absent(features)
    for name in absent.columns():
        columns[name] = pa.concat_arrays([(absent if v is None else v).columns()[name] for v in decided])
    table = pa.table(columns)
    return table.filter(pc.greater(table["n_prompts"], 0))


def _repeated(values: Sequence[str], times: int) -> pa.Array:
    """Each value repeated, stored as a dictionary."""
    distinct, codes = np.unique(np.asarray(values, dtype=str), return_inverse=True)
    return pa.DictionaryArray.from_arrays(np.repeat(codes, times).astype(np.int32), pa.array(distinct.tolist()))
