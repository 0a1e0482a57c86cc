"""`replay_logits.parquet`: which tokens an edit raises and lowers at the last prompt token, among the largest logits.

The k largest logits of both rows were recorded, so the change of a token is known where it is among the k of both. A
token that is among them in one row alone has come in or gone out, which is counted. Trials of a prompt are one number
here, and the first stands for all.

    change     mean over prompts of edited - reference, in logits; low, high, p over prompts; q over all tokens of all
               sources against one reference
    relative   the change less that of the largest logits together (mean over the tokens that both rows have): a change
               that all tokens share moves no probability

Shapes: P prompts, k logits, J tokens. Cost: the first trial of every row.
"""

from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa
from jaxtyping import Float, Int

from causeway.engine.analyses.replay.comparisons import Comparison
from causeway.engine.analyses.replay.estimates import prompt_means
from causeway.engine.analyses.replay.recorded import Recorded
from causeway.engine.stats import multiple
from causeway.engine.stats.paired import paired_mean

_NUMBERS = ("change", "relative", "low", "high", "p", "q")
_COUNTS = ("layer", "feature", "token_id", "prompts", "came_in", "went_out")
_TEXTS = ("arm", "reference", "text", "direction")


def logit_table(free: Recorded, compared: Sequence[Comparison], text: Callable[[int], str] | None) -> pa.Table:
    """A row for each comparison and token, the largest changes of a comparison first.

    Args:
        text: of a token id; None leaves texts out.
    """
    parts = [_changes(free, one, text) for one in compared]
    joined = {name: np.concatenate([part[name] for part in parts]) for name in (*_COUNTS, *_TEXTS, *_NUMBERS[:-1])}
    joined["q"] = np.full(len(joined["p"]), np.nan)
    for reference in np.unique(joined["reference"]):
        family = joined["reference"] == reference
        joined["q"][family] = multiple.adjust(joined["p"][family]).q
    columns = {name: pa.array(joined[name], pa.int32()) for name in _COUNTS}
    columns |= {name: pa.array(joined[name].tolist(), pa.string()) for name in _TEXTS}
    columns |= {name: pa.array(joined[name], pa.float64(), from_pandas=True) for name in _NUMBERS}
    order = ("layer", "feature", "arm", "reference", "token_id", "text", "direction", *_NUMBERS, *_COUNTS[3:])
    return pa.table({name: columns[name] for name in order})


def _changes(free: Recorded, one: Comparison, text: Callable[[int], str] | None) -> dict[str, np.ndarray]:
    edited, plain = (_of_prompts(free, key) for key in (one.edited, one.plain))
    tokens = np.unique(np.concatenate([ids.ravel() for ids, _ in (edited, plain)]))
    a, b = _spread(*edited, tokens), _spread(*plain, tokens)
    change = a - b
    found = paired_mean(change.T)
    relative = prompt_means((change - prompt_means(change.T[None]).T)[None])[0]
    order = np.argsort(-np.nan_to_num(np.abs(found.effect), nan=-1.0), kind="stable")
    count = len(tokens)
    columns = {
        "layer": np.full(count, one.layer), "feature": np.full(count, one.feature), "arm": np.full(count, one.arm),
        "reference": np.full(count, one.reference), "token_id": tokens,
        "text": np.array([None if text is None else text(token) for token in tokens.tolist()], object),
        "direction": _direction(found.effect), "change": found.effect, "relative": relative,
        "low": found.low, "high": found.high, "p": found.p, "prompts": found.prompts,
        "came_in": (~np.isnan(a) & np.isnan(b)).sum(axis=0), "went_out": (np.isnan(a) & ~np.isnan(b)).sum(axis=0),
    }  # fmt: skip
    return {name: values[order] for name, values in columns.items()}


def _direction(effect: Float[np.ndarray, " J"]) -> np.ndarray:
    """raised, lowered, or nothing where it is neither or not known."""
    sign = np.nan_to_num(np.sign(effect)).astype(int)
    return np.array([None, "raised", "lowered"], object)[sign]


def _of_prompts(free: Recorded, key: tuple[int, int, str]) -> tuple[Int[np.ndarray, "P k"], Float[np.ndarray, "P k"]]:
    """The largest logits of each prompt's first trial at its last token."""
    rows = np.array([free.rows_of(*key, prompt)[0] for prompt in free.prompt_ids.tolist()])
    return free.array("top_tokens", rows)[:, 0], free.array("top_logits", rows)[:, 0].astype(np.float64)


def _spread(
    ids: Int[np.ndarray, "P k"], logits: Float[np.ndarray, "P k"], tokens: Int[np.ndarray, " J"]
) -> Float[np.ndarray, "P J"]:
    """The logit of each token; NaN where it is not among the largest."""
    out = np.full((len(ids), len(tokens)), np.nan)
    np.put_along_axis(out, np.searchsorted(tokens, ids), logits, axis=1)
    return out
