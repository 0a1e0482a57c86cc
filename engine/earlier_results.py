"""Results of an earlier feature-patching study as two tables, whatever files they came from.

What later stages read (audit, select, pathways, tokens, integrate): which features were tested and what was decided of
them, and what the model answered, trial by trial. `ports/results/study_files.py` makes them of the published study's
files and of a `patch_sweep` workdir.

`FEATURES`: one row a feature, in the order of layer and feature.

    cohen_d           of the screen that chose the feature (positive: higher in risky contexts); null unknown
    effect, p         strongest change, arm minus reference (probability, or a rate of trials), and its p value,
                      corrected where the strongest of several was taken (Bonferroni: p times their number)
    low, high, q      its interval and false-discovery rate; null unknown
    outcome, contrast what was counted, and between which arms
    is_causal         as declared: null where nothing was, or where it cannot be told
    is_causal_safe, is_causal_risky, effect_safe, effect_risky, p_safe, p_risky   of each context of the study's rule
    value_<group>     what the feature was set to, where known (further columns)

`RESPONSES`: one row a sampled trial; layer and feature -1 stand for every feature (a baseline of a prompt alone).

    context           the prompt's group ("safe", "risky"); prompt: its id, the context's name where it had one prompt
    arm, condition    "patch:risky" and the study's name of (context, arm), "safe_with_risky_patch"
    action, amount    as parsed when it was run; null unknown. valid: whether it could be read

Texts that repeat are dictionary-encoded with one dictionary a column. A trial that is met twice, as after a resumed run
without seeds, is kept once: the first, in the order of the files; `repeated` lists the others.

Cost: a sort of the trials' keys; half a million responses of 100 tokens take about 0.3 GB.
"""

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from causeway.engine import scalars
from causeway.engine.analyses.patch_sweep.trial_axes import EVERY

VALUE = "value_"
# A further column of responses that were drawn here: their token ids.
TOKENS = "tokens"
_TEXT = pa.dictionary(pa.int32(), pa.string())
FEATURES = pa.schema([
    ("layer", pa.int32()), ("feature", pa.int32()), ("cohen_d", pa.float64()), ("effect", pa.float64()),
    ("low", pa.float64()), ("high", pa.float64()), ("p", pa.float64()), ("q", pa.float64()), ("outcome", pa.string()),
    ("contrast", pa.string()), ("is_causal", pa.bool_()), ("is_causal_safe", pa.bool_()),
    ("is_causal_risky", pa.bool_()), ("effect_safe", pa.float64()), ("effect_risky", pa.float64()),
    ("p_safe", pa.float64()), ("p_risky", pa.float64()), ("source", _TEXT),
])  # fmt: skip
RESPONSES = pa.schema([
    ("layer", pa.int32()), ("feature", pa.int32()), ("context", _TEXT), ("arm", _TEXT), ("condition", _TEXT),
    ("prompt", _TEXT), ("trial", pa.int32()), ("response", pa.string()), ("action", _TEXT), ("amount", pa.float64()),
    ("valid", pa.bool_()), ("source", _TEXT),
])  # fmt: skip
_TRIAL = ("layer", "feature", "context", "arm", "prompt", "trial")
REPEATED = pa.schema([*(RESPONSES.field(name) for name in _TRIAL), RESPONSES.field("source"), ("same", pa.bool_())])
_NAME = re.compile(r"L(\d{1,9})-(\d{1,9})")
# The published study's contexts, and its arms beside the baseline.
CONTEXTS = ("safe", "risky")
ARMS = ("baseline", "patch:safe", "patch:risky")


@dataclasses.dataclass(frozen=True)
class EarlierResults:
    """A study's results.

    Attributes:
        features: `FEATURES`, each feature once, with further columns value_<group>.
        responses: `RESPONSES`, each trial once; of a sweep of ours with a column `TOKENS`, lists of ids.
        repeated: `REPEATED`, trials left out because they had come before; `same`: with the same response.
        conflicting: names of features of which two files say different things (the first is kept).
        kind: "study" (the published study's files) or "patch_sweep" (a workdir of ours).
        about: what the files say of the whole, such as trials a condition; JSON-able.
        files: that were read, relative to the folder.
    """

    features: pa.Table
    responses: pa.Table
    repeated: pa.Table
    conflicting: tuple[str, ...]
    kind: str
    about: Mapping[str, Any]
    files: tuple[str, ...]


def check_earlier(results: Any) -> None:
    """Refuse what is no results.

    Raises:
        ValueError: it is not what `read_earlier` gives.
    """
    if not isinstance(results, EarlierResults):
        raise ValueError(f"results: got {scalars.shown(results)}; needs what read_earlier gives for a study's folder")


def feature_name(layer: int, feature: int) -> str:
    """How the study names a feature: L29-2374."""
    return f"L{layer}-{feature}"


def parse_feature_name(name: Any) -> tuple[int, int]:
    """Layer and feature of a name.

    Raises:
        ValueError: it is none.
    """
    match = _NAME.fullmatch(name) if isinstance(name, str) else None
    if not match:
        raise ValueError(f"feature: got {scalars.shown(name)}; needs a name such as L29-2374 (layer, feature)")
    return scalars.integer(int(match[1]), "feature's layer"), scalars.integer(int(match[2]), "feature's number")


def feature_names(table: pa.Table) -> list[str]:
    """Names of a table's (layer, feature), row by row."""
    pairs = zip(table["layer"].to_pylist(), table["feature"].to_pylist(), strict=True)
    return [feature_name(layer, feature) for layer, feature in pairs]


def each_trial_once(responses: pa.Table) -> tuple[pa.Table, pa.Table]:
    """The first row of each trial, and the rows left out as `REPEATED`.

    Args:
        responses: `RESPONSES`, in the order of their files.
    """
    table = responses.unify_dictionaries()
    keys = [_codes(table[name]) for name in _TRIAL]
    order = np.lexsort(keys[::-1])
    new = np.ones(len(order), bool)
    if len(order):
        new[1:] = np.any([key[order][1:] != key[order][:-1] for key in keys], axis=0)
    again = order[~new]
    if not again.size:
        return table, REPEATED.empty_table()
    first = order[np.maximum.accumulate(np.where(new, np.arange(len(order)), 0))][~new]
    earliest = np.argsort(again)
    again, first = again[earliest], first[earliest]
    same = pc.fill_null(pc.equal(table["response"].take(again), table["response"].take(first)), False)
    left_out = table.take(again).select(REPEATED.names[:-1]).append_column("same", same).cast(REPEATED)
    return table.take(np.sort(order[new])), left_out


def _codes(column: pa.ChunkedArray) -> np.ndarray:
    """Whole numbers that are equal where the column is; its dictionaries are one."""
    if pa.types.is_dictionary(column.type):
        column = pa.chunked_array([chunk.indices for chunk in column.chunks], pa.int32())
    return pc.fill_null(column, EVERY).to_numpy()
