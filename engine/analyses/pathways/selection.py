"""Which candidates of discovery are measured: the strongest of each target, and some rejected ones by chance.

    effect     mean over the prompts of discovery of gradient x change, summed over source tokens; a prompt on which a
               candidate was not among the strongest counts as 0
    selected   by `rule`, at most `top` of each target:
                   effect     |effect| > least, by |effect|
                   original   the documents' own: |gradient| > 0.1, by it, the mean over the prompts that list the
                              candidate; discovery then lists the largest gradients of each target and layer
    random     `random_pairs` of each target's other candidates, by a keyed order: what the selection rejected, measured
               so that the calibration of predictions is not that of the strongest alone

Shapes: C candidates, K pairs.
"""

import dataclasses
import functools
from collections.abc import Iterable
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Bool, Float, Int

from causeway.engine.analyses.pathways.passes import Nodes
from causeway.engine.analyses.pathways.readings import By
from causeway.engine.stats.splits import keyed_order

Rule = Literal["effect", "original"]
RULES: tuple[Rule, ...] = ("effect", "original")
# The documents' least gradient.
GRADIENT = 0.1
MOST_ROWS = 1 << 20
SUMS = ("gradient", "effect", "size", "count")
KEYS = ("target_layer", "target_feature", "source_layer", "source_feature")
SELECTED, RANDOM = "selected", "random"


@dataclasses.dataclass(frozen=True)
class Choice:
    """How candidates are chosen.

    Attributes:
        rule: see above. top: of each target. least: threshold of |effect|. random_pairs: of each target. seed: of the
            random stratum.
    """

    rule: Rule = "effect"
    top: int = 25
    least: float = 0.0
    random_pairs: int = 5
    seed: int = 0

    def __post_init__(self):
        if self.rule == "original" and self.least:
            raise ValueError(
                f"least_effect: got {self.least:g}; without effect with select_by=original, whose threshold is "
                f"|gradient| > {GRADIENT}; leave it out"
            )


@dataclasses.dataclass(frozen=True)
class SelectedPairs:
    """Pairs that are measured, [K], by target and then strength, and what discovery said of them.

    Attributes:
        source, target: of each. stratum: selected or random. effect: as above.
    """

    source: Nodes
    target: Nodes
    stratum: np.ndarray
    effect: Float[np.ndarray, " K"]

    def __len__(self) -> int:
        return len(self.source)

    @functools.cached_property
    def sources(self) -> tuple[Nodes, Int[np.ndarray, " K"]]:
        """Distinct sources by layer and feature, and the number of each pair's."""
        return _distinct(self.source)

    @functools.cached_property
    def targets(self) -> tuple[Nodes, Int[np.ndarray, " K"]]:
        """Distinct targets, and the number of each pair's."""
        return _distinct(self.target)


def ranked_by(rule: Rule) -> By:
    """What discovery is to rank candidates by."""
    return "gradient" if rule == "original" else "effect"


def summed(tables: Iterable[pa.Table]) -> pa.Table:
    """What selection needs of candidates: a row a pair, its prompts and its sums over them.

    A pair that was both among the strongest of a prompt and drawn counts once.
    """
    parts: list[pa.Table] = []
    for table in tables:
        plain = pa.table({
            "prompt": table["prompt"].cast(pa.string()),
            **{name: table[name] for name in KEYS},
            **{name: table[name].cast(pa.float64()) for name in ("gradient", "effect")},
        })  # fmt: skip
        firsts = [("gradient", "first"), ("effect", "first")]
        each = plain.group_by(["prompt", *KEYS], use_threads=False).aggregate(firsts)
        each = each.append_column("size", pc.abs(each["gradient_first"])).append_column(
            "count", pa.array(np.ones(each.num_rows))
        )
        parts.append(_added(each.rename_columns({"gradient_first": "gradient", "effect_first": "effect"})))
        if sum(part.num_rows for part in parts[1:]) > MOST_ROWS:
            parts = [_added(pa.concat_tables(parts))]
    return _added(pa.concat_tables(parts)).sort_by([(name, "ascending") for name in KEYS])


def _added(table: pa.Table) -> pa.Table:
    found = table.group_by(list(KEYS), use_threads=False).aggregate([(name, "sum") for name in SUMS])
    return found.rename_columns({f"{name}_sum": name for name in SUMS})


def select(candidates: pa.Table, prompts: int, choice: Choice) -> SelectedPairs:
    """The pairs that are measured.

    Args:
        candidates: as `summed` has it. prompts: how many discovery ran on.

    Raises:
        ValueError: nothing is left.
    """
    if not candidates.num_rows:
        raise ValueError("features: no candidate was found below the targets; give targets of higher layers")
    keys = np.stack([candidates[name].to_numpy() for name in KEYS], axis=1)
    gradient, effect, size, count = (candidates[name].to_numpy() for name in SUMS)
    gradient, size, effect = gradient / count, size / count, effect / prompts
    passed, strength = np.abs(effect) > choice.least, np.abs(effect)
    if choice.rule == "original":
        passed, strength = size > GRADIENT, size
    chosen, random = _of_targets(keys, passed, strength, choice)
    if not len(chosen):
        raise ValueError(_nothing(choice, len(keys), float(strength.max())))
    both = np.concatenate([chosen, random])
    stratum = np.array([SELECTED] * len(chosen) + [RANDOM] * len(random))
    order = np.lexsort((-strength[both], keys[both, 1], keys[both, 0]))
    both, stratum = both[order], stratum[order]
    own = keys[both].astype(np.int32)
    return SelectedPairs(Nodes(own[:, 2], own[:, 3]), Nodes(own[:, 0], own[:, 1]), stratum, effect[both])


def _nothing(choice: Choice, candidates: int, strongest: float) -> str:
    """Why nothing is selected."""
    if choice.rule == "original":
        return (
            f"select_by: original takes |gradient| > {GRADIENT}, and none of {candidates} candidates has it (the "
            f"largest is {strongest:.3g}); use select_by=effect"
        )
    return (
        f"least_effect: none of {candidates} candidates is beyond |effect| = {choice.least:g} (select_by=effect); the "
        f"strongest is {strongest:.3g}; lower it"
    )


def _of_targets(
    keys: Int[np.ndarray, "C 4"], passed: Bool[np.ndarray, " C"], strength: Float[np.ndarray, " C"], choice: Choice
) -> tuple[Int[np.ndarray, " s"], Int[np.ndarray, " r"]]:
    """Numbers of the candidates selected, and of some of the others."""
    chosen, random = [], []
    for target in np.unique(keys[:, :2], axis=0):
        mine = np.flatnonzero((keys[:, :2] == target).all(axis=1))
        ranked = mine[np.argsort(-strength[mine], kind="stable")]
        taken = ranked[passed[ranked]][: choice.top]
        others = np.setdiff1d(mine, taken)
        names = ["-".join(map(str, keys[number])) for number in others]
        chosen.append(taken)
        random.append(others[keyed_order(names, f"rejected:{choice.seed}")[: choice.random_pairs]])
    return np.concatenate(chosen), np.concatenate(random)


def _distinct(features: Nodes) -> tuple[Nodes, Int[np.ndarray, " K"]]:
    table, which = np.unique(np.stack([features.layer, features.feature], axis=1), axis=0, return_inverse=True)
    return Nodes(table[:, 0], table[:, 1]), which.reshape(-1)
