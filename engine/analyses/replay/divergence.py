"""Where free rollouts part, and how long they are.

Arms of a (prompt, trial) share their draws, so they write the same tokens until an edit has moved a probability past a
draw: `first_difference` is the number of the first new token (0 the first) that is not the reference's, or that one of
them has and the other has not; null where both wrote the same. Before it nothing but the edit differs; a change at an
earlier layer than the edit's is 0 up to and with the step of that number, and comes through the tokens after it.

Length is an outcome of its own: new tokens, edited minus reference, the prompt being the unit.

Shapes: P prompts, S trials. Cost: the token ids of every row.
"""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from causeway.engine.analyses.replay.comparisons import Comparison
from causeway.engine.analyses.replay.estimates import prompt_means
from causeway.engine.analyses.replay.recorded import Recorded
from causeway.engine.stats import multiple
from causeway.engine.stats.paired import paired_mean

_SCHEMA = pa.schema(
    [
        ("layer", pa.int32()), ("feature", pa.int32()), ("arm", pa.string()), ("reference", pa.string()),
        ("prompt_id", pa.int32()), ("group", pa.string()), ("trial", pa.int32()), ("first_difference", pa.int32()),
        ("length", pa.int32()), ("reference_length", pa.int32()),
    ]
)  # fmt: skip


def first_differences(free: Recorded, compared: Sequence[Comparison]) -> pa.Table:
    """A row for each comparison, prompt and trial."""
    rows: dict[str, list] = {name: [] for name in _SCHEMA.names}
    for one in compared:
        for prompt, group in zip(free.prompt_ids.tolist(), free.group_of, strict=True):
            edited, plain = free.rows_of(*one.edited, prompt), free.rows_of(*one.plain, prompt)
            shared, mine, theirs = np.intersect1d(free.trial[edited], free.trial[plain], return_indices=True)
            for trial, a, b in zip(shared.tolist(), edited[mine].tolist(), plain[theirs].tolist(), strict=True):
                own, other = free.tokens(a), free.tokens(b)
                told = (
                    one.layer, one.feature, one.arm, one.reference, prompt, group, trial,
                    first_difference(own, other), len(own), len(other),
                )  # fmt: skip
                for name, value in zip(rows, told, strict=True):
                    rows[name].append(value)
    return pa.table(rows, schema=_SCHEMA)


def first_difference(a: Sequence[int], b: Sequence[int]) -> int | None:
    """The first place at which two rollouts differ; None where they are the same."""
    found = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), None)
    return min(len(a), len(b)) if found is None and len(a) != len(b) else found


def source_table(free: Recorded, compared: Sequence[Comparison], differences: pa.Table) -> pa.Table:
    """A row for each comparison: what was done, how many rollouts part and where, and what it does to their length.

    Args:
        differences: of `first_differences`, of the same comparisons.
    """
    shape = (len(compared), len(free.prompt_ids), -1)
    length, other, parted = (
        differences[name].to_numpy().astype(np.float64).reshape(shape)
        for name in ("length", "reference_length", "first_difference")
    )
    found = paired_mean(prompt_means(np.moveaxis(length - other, 0, -1)).T)
    rows = [np.concatenate([free.rows_of(*one.edited, p) for p in free.prompt_ids.tolist()]) for one in compared]
    with np.errstate(invalid="ignore"):
        where = np.nansum(parted, axis=(1, 2)) / (~np.isnan(parted)).sum(axis=(1, 2))
    numbers = {
        "value_before": [free.mean("value_before", mine) for mine in rows],
        "value_set": [free.mean("value_set", mine) for mine in rows],
        "parted": (~np.isnan(parted)).mean(axis=(1, 2)), "first_difference": where,
        "length": length.mean(axis=(1, 2)), "reference_length": other.mean(axis=(1, 2)),
        "length_change": found.effect, "low": found.low, "high": found.high, "p": found.p,
        "q": multiple.adjust(found.p).q,
    }  # fmt: skip
    named = {name: pa.array([getattr(one, name) for one in compared]) for name in ("arm", "reference")}
    ids = {name: pa.array([getattr(one, name) for one in compared], pa.int32()) for name in ("layer", "feature")}
    told = {name: pa.array(np.asarray(values), pa.float64(), from_pandas=True) for name, values in numbers.items()}
    return pa.table(ids | named | told | {"prompts": pa.array(found.prompts, pa.int32())})
