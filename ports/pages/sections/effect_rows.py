"""Which rows of a table of effects a page shows, and in which order."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from causeway.engine.analyses.patch_sweep.arms import Arm
from causeway.engine.analyses.patch_sweep.contrasts import FAMILY
from causeway.engine.analyses.patch_sweep.effect_results import ALL

_CONTROLS = ("control", "noop")


def tested(effects: pa.Table, outcome: str) -> pa.Table:
    """Rows of the contrasts that are tested, over all prompts, with a verdict, a label and what is compared."""
    rows = _of(effects, outcome, FAMILY)
    causal = rows["is_causal"].to_pylist()
    verdicts = [{True: "causal", False: "not causal", None: "cannot tell"}[value] for value in causal]
    pairs = zip(rows["layer"].to_pylist(), rows["feature"].to_pylist(), rows["contrast"].to_pylist(), strict=True)
    labels = [f"{layer}/{feature}  {contrast}" for layer, feature, contrast in pairs]
    rows = rows.append_column("verdict", pa.array(verdicts, pa.string()))
    rows = rows.append_column("label", pa.array(labels, pa.string()))
    return rows.append_column("detail", rows["interval"])


def by_feature(rows: pa.Table) -> pa.Table:
    """A row a feature: its largest effect, causal ones first and then by size."""
    order = np.lexsort((-_size(rows), ~pc.fill_null(rows["is_causal"], False).to_numpy(zero_copy_only=False)))
    pairs = np.stack([rows["layer"].to_numpy()[order], rows["feature"].to_numpy()[order]], axis=1)
    first = np.sort(np.unique(pairs, axis=0, return_index=True)[1]) if len(pairs) else np.zeros(0, int)
    return rows.take(order[first])


def with_q(rows: pa.Table) -> pa.Table:
    """Rows that were tested and have an effect, as far as a chart of them needs."""
    known = pc.and_(pc.is_valid(rows["q"]), pc.is_valid(rows["effect"]))
    return rows.filter(known).select(["layer", "feature", "contrast", "effect", "q", "verdict"])


def thinned(rows: pa.Table, most: int) -> pa.Table:
    """At most so many rows, those of the largest effects, in their order."""
    if rows.num_rows <= most:
        return rows
    return rows.take(np.sort(np.argsort(-_size(rows), kind="stable")[:most]))


def doses(effects: pa.Table, features: pa.Table, outcome: str) -> pa.Table:
    """The dose ladders of some features, a row a step and value: the whole value, which is dose 1, is a step too."""
    wanted = list(zip(features["layer"].to_pylist(), features["feature"].to_pylist(), strict=True))
    rows = _of(effects, outcome, ("dose", "tested"))
    names = ("layer", "feature", "arm", "effect", "low", "high")
    found = []
    for row in rows.select(list(names)).to_pylist():
        arm, pair = Arm.parse(row["arm"]), (row["layer"], row["feature"])
        if pair in wanted and arm.kind in ("dose", "patch"):
            place = wanted.index(pair)
            made = {"place": place, "label": f"{pair[0]}/{pair[1]}", "value": arm.value, "dose": arm.dose}
            found.append((place, arm.value, arm.dose, made | {name: row[name] for name in ("effect", "low", "high")}))
    laddered = {(place, value) for place, value, dose, _ in found if dose != 1}
    found = sorted((one for one in found if one[:2] in laddered), key=lambda one: one[:3])
    kinds = [("place", pa.int32()), ("label", pa.string()), ("value", pa.string())]
    kinds += [(name, pa.float64()) for name in ("dose", "effect", "low", "high")]
    return pa.Table.from_pylist([made for *_, made in found], pa.schema(kinds))


def beside_controls(effects: pa.Table, outcome: str) -> pa.Table:
    """Effects of tested contrasts and of controls: layer, feature, contrast, effect, kind."""
    parts = []
    for kind, roles in (("tested", FAMILY), ("control", _CONTROLS)):
        rows = _of(effects, outcome, roles).select(["layer", "feature", "contrast", "effect"])
        parts.append(rows.append_column("kind", pa.array([kind] * rows.num_rows, pa.string())))
    return pa.concat_tables(parts)


def _of(effects: pa.Table, outcome: str, roles: tuple[str, ...]) -> pa.Table:
    """Rows over all prompts of an outcome and some roles, with texts as texts."""
    chosen = pc.and_(pc.equal(effects["group"], ALL), pc.equal(effects["outcome"], outcome))
    rows = effects.filter(pc.and_(chosen, pc.is_in(effects["role"], pa.array(roles))))
    kinds = [field.with_type(pa.string()) if pa.types.is_dictionary(field.type) else field for field in rows.schema]
    return rows.cast(pa.schema(kinds))


def _size(rows: pa.Table) -> np.ndarray:
    return np.nan_to_num(np.abs(rows["effect"].to_numpy().astype(np.float64)))
