"""Streaming sums of two groups' activations, layer by layer and stratum by stratum.

Batches of activations [n, F] of one layer arrive with a group label (and, on request, a stratum such as the balance)
for each row. Per-feature sums are kept, and the values that are not 0, which a test by dealing the labels anew needs
one by one. A group's own moments are the merged moments of its strata.

Memory: 5 F float64 for each (layer, group, stratum) met, and a sparse histogram for each (layer, group): for 31 layers
of 32,768 features and two groups, 81 MB and the histograms (about 8 bytes for each scale at which a feature fired).
Values take 8 bytes each: 480 prompts with 60 active features a layer, 7 MB. All prompts are never held densely.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import sparse

from causeway.engine.stats.moments import Moments
from causeway.engine.stats.quantiles import LogHistogram

UNSTRATIFIED = ""


class GroupSums:
    """Per-layer sums of two named groups.

    The second group is the one whose higher values make differences positive: GroupSums(("safe", "risky")) gives d > 0
    to features that are higher in risky.
    """

    def __init__(self, groups: tuple[str, str]):
        """Starts with nothing seen.

        Args:
            groups: names of the first and the second group.

        Raises:
            ValueError: not two distinct names.
        """
        if len(groups) != 2 or groups[0] == groups[1]:
            raise ValueError(f"groups: got {tuple(groups)}; needs two distinct names, the reference group first")
        self.groups = (groups[0], groups[1])
        self._moments: dict[tuple[int, str, str], Moments] = {}
        self._histograms: dict[tuple[int, str], LogHistogram] = {}
        self._widths: dict[int, int] = {}
        self._values: dict[int, list[sparse.csr_array]] = {}
        self._rows: dict[int, list[tuple[str, str]]] = {}

    @property
    def layers(self) -> tuple[int, ...]:
        """Layers met so far, in order."""
        return tuple(sorted(self._widths))

    def update(
        self,
        layer: int,
        values: Float[np.ndarray, "n F"],
        labels: Sequence[str],
        strata: Sequence[str] | None = None,
    ) -> None:
        """Takes in one batch of one layer.

        Args:
            layer: model layer of the activations.
            values: feature values, zeros included.
            labels: the group of each row.
            strata: the stratum of each row, where confounds are to be held fixed.

        Raises:
            ValueError: an unknown label, another number of rows or features than before, or a value not finite.
        """
        values = np.asarray(values)
        names = np.asarray(list(labels), dtype=str)
        cells = np.asarray([UNSTRATIFIED] * len(names) if strata is None else [str(s) for s in strata], dtype=str)
        self._check(layer, values, names, cells)
        self._widths[layer] = values.shape[1]
        self._values.setdefault(layer, []).append(sparse.csr_array(values))
        self._rows.setdefault(layer, []).extend(zip(names.tolist(), cells.tolist(), strict=True))
        for group in np.unique(names):
            rows = names == group
            fired = LogHistogram.of(values[rows])
            key = (layer, str(group))
            self._histograms[key] = self._histograms[key] + fired if key in self._histograms else fired
            for stratum in np.unique(cells[rows]):
                seen = Moments.of(values[rows & (cells == stratum)])
                cell = (layer, str(group), str(stratum))
                self._moments[cell] = self._moments[cell] + seen if cell in self._moments else seen

    def strata(self, layer: int) -> tuple[str, ...]:
        """Strata met at a layer, in order."""
        return tuple(sorted({s for at, _, s in self._moments if at == layer}))

    def moments(self, layer: int, group: str, stratum: str | None = None) -> Moments:
        """Moments of a group at a layer: of one stratum, or of all of them merged."""
        strata = self.strata(layer) if stratum is None else (stratum,)
        total = Moments.empty(self._widths[layer])
        for name in strata:
            total = total + self._moments.get((layer, group, name), Moments.empty(self._widths[layer]))
        return total

    def histogram(self, layer: int, group: str) -> LogHistogram:
        """Active values of a group at a layer."""
        return self._histograms.get((layer, group), LogHistogram.empty(self._widths[layer]))

    def values(self) -> sparse.csr_array:
        """Every row's values of all layers' features, [F of all layers, rows]."""
        return sparse.vstack([sparse.vstack(self._values[layer]).T for layer in self.layers], format="csr")

    def labels(self) -> tuple[Bool[np.ndarray, " rows"], Int[np.ndarray, " rows"]]:
        """Of each row of `values`: whether it is of the second group, and the number of its stratum.

        Raises:
            ValueError: layers took in other rows, or in another order.
        """
        rows = self._rows[self.layers[0]]
        for layer in self.layers:
            if self._rows[layer] != rows:
                raise ValueError(f"layer {layer}: other rows than layer {self.layers[0]}; give all layers each batch")
        groups, cells = np.asarray(rows).T
        return groups == self.groups[1], np.unique(cells, return_inverse=True)[1]

    def _check(self, layer: int, values: np.ndarray, names: np.ndarray, cells: np.ndarray) -> None:
        unknown = sorted(set(names.tolist()) - set(self.groups))
        if unknown:
            raise ValueError(f"labels: {unknown} not among the groups {self.groups}; relabel or drop those rows")
        if values.ndim != 2 or len(values) != len(names) or len(cells) != len(names):
            raise ValueError(
                f"values: shape {values.shape} with {len(names)} labels and {len(cells)} strata; needs [rows, features]"
                " and one label (and stratum) a row"
            )
        width = self._widths.get(layer, values.shape[1])
        if width != values.shape[1]:
            raise ValueError(
                f"values: {values.shape[1]} features at layer {layer}, {width} before; one dictionary a layer"
            )
