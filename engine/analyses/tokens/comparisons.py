"""Which responses are compared with which: for each feature, context and patched arm those of the reference arm.

A contrast is "patch:risky - baseline": responses with the feature patched less those without, in one context. The
reference is the no-op where there is one (it has the dictionary's error in it, as the patched arms have), else the
baseline; a row of no feature stands for every feature (`patch_sweep.trial_axes`). Arms that are controls of a sweep
(random features, the dose ladder) are not compared.

What is drawn anew, and so the unit of every test (`Unit`):

    prompt    in contexts with `FEWEST_PROMPTS` prompts or more: all responses of both arms to a prompt
    trial     in contexts with fewer, where arms share random numbers: responses of both arms to a prompt in one trial
    response  in contexts with fewer, where they do not: each response, arms being independent

Of few prompts nothing is claimed about other prompts. Shapes: R responses, G groups (feature, context, arm), C
comparisons. Cost: sorting R keys.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Int

from causeway.engine import scalars
from causeway.engine.analyses.patch_sweep.arms import BASELINE, NOOP, Arm
from causeway.engine.analyses.patch_sweep.trial_axes import EVERY
from causeway.engine.earlier_results import feature_name
from causeway.engine.stats.paired import FEWEST_PROMPTS

Unit = Literal["prompt", "trial", "response"]
COMPARED = ("patch", "ablate")
NEEDED = ("layer", "feature", "context", "arm", "prompt", "trial", "response")


@dataclasses.dataclass(frozen=True)
class Comparisons:
    """Groups of responses, and pairs of groups.

    Attributes:
        group: [R] of each response. cluster: [R] what it is drawn with: a number within its context.
        layer, feature: [C]. context, contrast: [C] indices into `contexts` and `contrasts`.
        reference, patched: [C] groups.
        units: of each context. prompts: of each context, how many.
        missing: what was looked for and not found, "L1-2 in safe: baseline".
        left_out: arms that are not compared.
    """

    group: Int[np.ndarray, " R"]
    cluster: Int[np.ndarray, " R"]
    layer: Int[np.ndarray, " C"]
    feature: Int[np.ndarray, " C"]
    context: Int[np.ndarray, " C"]
    contrast: Int[np.ndarray, " C"]
    reference: Int[np.ndarray, " C"]
    patched: Int[np.ndarray, " C"]
    contexts: tuple[str, ...]
    contrasts: tuple[str, ...]
    units: tuple[Unit, ...]
    prompts: tuple[int, ...]
    missing: tuple[str, ...]
    left_out: tuple[str, ...]

    def of_unit(self, unit: Unit) -> Int[np.ndarray, " c"]:
        """Comparisons in contexts of a unit."""
        return np.flatnonzero(np.array([name == unit for name in self.units], bool)[self.context])

    def clusters(self, chosen: Int[np.ndarray, " c"]) -> int:
        """One more than the largest cluster of some comparisons."""
        mine = np.zeros(int(self.group.max()) + 1, bool)
        mine[self.reference[chosen]] = mine[self.patched[chosen]] = True
        return int(self.cluster[mine[self.group]].max(initial=-1)) + 1


def check_responses(responses: pa.Table) -> None:
    """Refuse a table that has not what is compared.

    Raises:
        ValueError: no table, a column that is missing, nulls in one, or no rows.
    """
    if not isinstance(responses, pa.Table):
        raise ValueError(f"responses: got {scalars.shown(responses)}; needs a table with {', '.join(NEEDED)}")
    if missing := [name for name in NEEDED if name not in responses.column_names]:
        raise ValueError(f"responses: lacks {', '.join(missing)}; needs {', '.join(NEEDED)}")
    if not responses.num_rows:
        raise ValueError("responses: none; exact probabilities have no words, needs results with sampled answers")
    if empty := [name for name in NEEDED if responses[name].null_count]:
        raise ValueError(f"responses: column {empty[0]} has nulls; every response needs its {empty[0]}")


def comparisons(responses: pa.Table, reference: str | None, shared_noise: bool) -> Comparisons:
    """All comparisons of a table of responses (`engine.earlier_results.RESPONSES`).

    Args:
        responses: each trial once.
        reference: "baseline" or "noop"; None: the no-op where there is one.
        shared_noise: whether arms of a (prompt, trial) drew the same random numbers.

    Raises:
        ValueError: no arm that can be compared, or none with its reference.
    """
    (arm, arms), (context, contexts), (prompt, prompts) = (codes(responses[n]) for n in ("arm", "context", "prompt"))
    base = _reference(arms, reference)
    compared = [name for name in arms if Arm.parse(name).kind in COMPARED]
    if not compared:
        raise ValueError(f"responses: arms {', '.join(arms)}; needs a patched one (patch:..., ablate) beside {base}")
    layer, feature = (responses[name].to_numpy().astype(np.int64) for name in ("layer", "feature"))
    pairs, pair = np.unique(_pair(layer, feature), return_inverse=True)
    size = len(arms) * len(contexts)
    keys, group = np.unique(pair * size + context * len(arms) + arm, return_inverse=True)
    groups = _Groups(pairs, keys, size, len(arms))
    own = groups.of_arms([arms.index(name) for name in compared])
    found = _references(groups, own, arms.index(base))
    missing = [
        f"{feature_name(*pair)} in {contexts[c]}: {base}"
        for *pair, c in zip(*(own[n][found < 0].tolist() for n in ("layer", "feature", "context")), strict=True)
    ] + _absent(own, arms, contexts)  # fmt: skip
    if not (kept := found >= 0).any():
        raise ValueError(f"responses: no feature has responses of {base} in a context with patched ones; --reference")
    names = [arms[number] for number in np.unique(own["arm"][kept])]
    counts = [len(np.unique(prompt[context == number])) for number in range(len(contexts))]
    units = tuple(_unit(count, shared_noise) for count in counts)
    trial = responses["trial"].to_numpy().astype(np.int64)
    return Comparisons(
        group=group, cluster=_clusters(units, context, prompt, trial, len(prompts)),
        layer=own["layer"][kept].astype(np.int32), feature=own["feature"][kept].astype(np.int32),
        context=own["context"][kept].astype(np.int32),
        contrast=np.array([names.index(arms[number]) for number in own["arm"][kept]], np.int32),
        reference=found[kept], patched=own["group"][kept], contexts=contexts,
        contrasts=tuple(f"{name} - {base}" for name in names), units=units, prompts=tuple(counts),
        missing=tuple(missing), left_out=tuple(name for name in arms if name not in (*compared, base)),
    )  # fmt: skip


def codes(column: pa.ChunkedArray) -> tuple[Int[np.ndarray, " R"], tuple[str, ...]]:
    """A column of texts as numbers of its sorted distinct values."""
    plain = column.cast(pa.string())
    values = tuple(sorted(pc.unique(plain).to_pylist()))
    return pc.index_in(plain, value_set=pa.array(values, pa.string())).to_numpy().astype(np.int64), values


def _reference(arms: Sequence[str], reference: str | None) -> str:
    there = [name for name in (str(NOOP), str(BASELINE)) if name in arms]
    if reference is not None and reference not in there:
        raise ValueError(f"reference: got {scalars.shown(reference)}; the responses have {', '.join(there) or 'none'}")
    if not there:
        raise ValueError(f"responses: arms {', '.join(arms)}; needs baseline or noop to compare with")
    return reference or there[0]


def _pair(layer: np.ndarray, feature: np.ndarray) -> Int[np.ndarray, " n"]:
    """One number that sorts as (layer, feature); -1 is the least value of either."""
    return ((layer + 1) << 32) | (feature + 1)


@dataclasses.dataclass(frozen=True)
class _Groups:
    """Which (feature, context, arm) there are.

    Attributes:
        pairs: distinct features, as `_pair`. keys: [G] sorted. size: contexts times arms. arms: how many.
    """

    pairs: Int[np.ndarray, " F"]
    keys: Int[np.ndarray, " G"]
    size: int
    arms: int

    def find(self, layer: np.ndarray, feature: np.ndarray, context: np.ndarray, arm: int) -> Int[np.ndarray, " n"]:
        """Numbers of groups, -1 for those that are not there."""
        wanted = _pair(layer, feature)
        pair = np.minimum(np.searchsorted(self.pairs, wanted), len(self.pairs) - 1)
        key = np.where(self.pairs[pair] == wanted, pair * self.size + context * self.arms + arm, -1)
        place = np.minimum(np.searchsorted(self.keys, key), len(self.keys) - 1)
        return np.where(self.keys[place] == key, place, -1)

    def of_arms(self, compared: Sequence[int]) -> dict[str, np.ndarray]:
        """Groups of one feature each, of some arms."""
        pair, rest = np.divmod(self.keys, self.size)
        context, arm = np.divmod(rest, self.arms)
        layer, feature = (self.pairs[pair] >> 32) - 1, (self.pairs[pair] & 0xFFFFFFFF) - 1
        mine = np.flatnonzero((feature != EVERY) & np.isin(arm, compared))
        columns = {"layer": layer, "feature": feature, "context": context, "arm": arm}
        return {name: values[mine] for name, values in columns.items()} | {"group": mine}


def _references(groups: _Groups, own: Mapping[str, np.ndarray], base: int) -> Int[np.ndarray, " n"]:
    """The reference group of each: the feature's own, else its layer's, else that of all; -1 for none."""
    every = np.full(len(own["group"]), EVERY)
    found = every
    for layer, feature in ((every, every), (own["layer"], every), (own["layer"], own["feature"])):
        place = groups.find(layer, feature, own["context"], base)
        found = np.where(place >= 0, place, found)
    return found


def _absent(own: Mapping[str, np.ndarray], arms: Sequence[str], contexts: Sequence[str]) -> list[str]:
    """Patched arms that some features have in a context and others have not."""
    pairs, which = np.unique(np.stack([own["layer"], own["feature"]], 1), axis=0, return_inverse=True)
    cells, cell = np.unique(np.stack([own["context"], own["arm"]], 1), axis=0, return_inverse=True)
    there = np.zeros((len(pairs), len(cells)), bool)
    there[which.ravel(), cell.ravel()] = True
    return [
        f"{feature_name(*pairs[f].tolist())} in {contexts[cells[c, 0]]}: {arms[cells[c, 1]]}"
        for f, c in zip(*np.nonzero(~there), strict=True)
    ]


def _unit(prompts: int, shared_noise: bool) -> Unit:
    if prompts >= FEWEST_PROMPTS:
        return "prompt"
    return "trial" if shared_noise else "response"


def _clusters(
    units: Sequence[Unit], context: np.ndarray, prompt: np.ndarray, trial: np.ndarray, prompts: int
) -> Int[np.ndarray, " R"]:
    """The cluster of each response, numbered from 0 in its context."""
    found = np.zeros(len(context), np.int64)
    for number, unit in enumerate(units):
        here = np.flatnonzero(context == number)
        each = {"prompt": prompt[here], "trial": trial[here] * prompts + prompt[here], "response": np.arange(len(here))}
        found[here] = np.unique(each[unit], return_inverse=True)[1]
    return found
