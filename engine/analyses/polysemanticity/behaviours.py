"""On how many kinds of prompts a neuron acts, and whether it acts otherwise on each.

Prompts have a label (their behaviour, or another field). Of those held out, with the sizes |phi - E phi| of effects:

    acts_on       labels of which a prompt has a larger effect than the neuron's threshold
    behaviours    participation ratio over labels of the root mean square size: n labels alike: n
    information   between the label and the strength along the component, cut at the quartiles of the prompts that
                  choose: I(label; strength) / sqrt(H(label) H(strength)), 0: none, 1: each gives the other

Beside them the means of the same where labels are dealt anew: over groups where all prompts of a group have one label,
else over prompts; p is the share of draws with as much information. Few prompts give information by chance alone, so
`information` is to be read against `information_null`.

Shapes: P prompts, H held out, L labels. Cost a neuron: DRAWS H.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int

from causeway.engine.analyses.polysemanticity.effects import Neuron
from causeway.engine.stats.concentration import participation
from causeway.engine.stats.group_bootstrap import basic_interval, block_sums, blocks_of, resampled

DRAWS = 199
COLUMNS = (
    "acts_on", "behaviours", "behaviours_low", "behaviours_high", "behaviours_null",
    "information", "information_null", "information_p",
)  # fmt: skip
_PURPOSE = 14


class Labels:
    """Labels of the prompts held out, and draws of them; two labels or more.

    Attributes:
        names: of the labels.
    """

    def __init__(self, labels: Sequence[str], groups: Sequence[str], chosen: Bool[np.ndarray, " P"], seed: int):
        """See the attributes; one of each for every prompt."""
        held = np.flatnonzero(~chosen).tolist()
        names, self.own = np.unique([labels[i] for i in held], return_inverse=True)
        self.names: tuple[str, ...] = tuple(names.tolist())
        self.chosen = chosen
        own_groups = [groups[i] for i in held]
        self.blocks = blocks_of(own_groups, seed)
        self.weights = resampled(int(self.blocks.max()) + 1, seed)
        self.drawn = _drawn(self.own, own_groups, np.random.default_rng((seed, _PURPOSE)))

    @property
    def tell(self) -> bool:
        """Whether there are several."""
        return len(self.names) > 1

    def scores(self, neuron: Neuron, threshold: float) -> dict[str, float]:
        """`COLUMNS` of one neuron; NaN where it does not vary, or there is one label."""
        sizes, along = neuron.deviations(self.chosen)
        held = sizes[~self.chosen]
        if not self.tell or not neuron.component.any() or not held.any():
            return dict.fromkeys(COLUMNS, np.nan)
        cuts = np.quantile(along[self.chosen], [0.25, 0.5, 0.75])
        strength = np.searchsorted(cuts, along[~self.chosen], side="right")
        found = self._information(self.own, strength)
        null = np.array([self._information(labels, strength) for labels in self.drawn])
        acts = len(np.unique(self.own[held > threshold]))
        return {"acts_on": float(acts), **self._participation(held / held.max())} | {
            "information": found, "information_null": float(null.mean()),
            "information_p": float((1 + np.sum(null >= found - 1e-12)) / (1 + len(null))),
        }  # fmt: skip

    def _participation(self, sizes: Float[np.ndarray, " H"]) -> dict[str, float]:
        count, square = len(self.names), np.square(sizes)
        ones = np.eye(count)[self.own]
        found = _of_labels((square @ ones)[None], ones.sum(axis=0)[None])[0]
        parts = [block_sums(one, self.blocks) for one in (square[:, None] * ones, ones)]
        values = _of_labels(*(self.weights @ one for one in parts))
        low, high = basic_interval(np.array([found]), values[:, None], len(parts[0]))
        null = [_of_labels((square @ np.eye(count)[labels])[None], ones.sum(axis=0)[None])[0] for labels in self.drawn]
        return {
            "behaviours": float(found), "behaviours_low": max(float(low[0]), 1.0),
            "behaviours_high": min(float(high[0]), count) if np.isfinite(high[0]) else np.nan,
            "behaviours_null": float(np.mean(null)),
        }  # fmt: skip

    def _information(self, labels: Int[np.ndarray, " H"], strength: Int[np.ndarray, " H"]) -> float:
        table = np.zeros((len(self.names), 4))
        np.add.at(table, (labels, strength), 1 / len(labels))
        rows, columns = _entropy(table.sum(axis=1)), _entropy(table.sum(axis=0))
        shared = rows + columns - _entropy(table.ravel())
        return float(np.clip(shared / np.sqrt(rows * columns), 0, 1)) if rows * columns > 0 else 0.0


def _of_labels(squares: Float[np.ndarray, "R L"], counts: Float[np.ndarray, "R L"]) -> Float[np.ndarray, " R"]:
    """Participation of the root mean squares of labels that are there."""
    mean = np.divide(squares, counts, out=np.zeros_like(squares), where=counts > 0)
    return participation(np.sqrt(mean).T)


def _entropy(shares: Float[np.ndarray, " n"]) -> float:
    known = shares[shares > 0]
    return float(-(known * np.log(known)).sum())


def _drawn(own: Int[np.ndarray, " H"], groups: Sequence[str], rng: np.random.Generator) -> list[Int[np.ndarray, " H"]]:
    """Labels dealt anew."""
    _, first, which = np.unique(groups, return_index=True, return_inverse=True)
    if (own[first][which] == own).all():
        return [rng.permutation(own[first])[which] for _ in range(DRAWS)]
    return [rng.permutation(own) for _ in range(DRAWS)]
