"""Tables of what was found: a row a feature, a context, a bin of a histogram.

    features    layer, feature, label, active_tokens, firing_rate with its interval (low, high), active_rows,
                mean_active, maximum, the tokens promoted and suppressed with their weights (`logit_weights`), and the
                features of the layer that write most alike with their cosines (`nearest`)
    contexts    layer, feature, kind (top, or sample), band (of the sample), rank, value, text (its number), row
                (of the corpus), position (in the row), peak (place in the lists), tokens, ids, activations
    histograms  layer, feature, low, high, count: active tokens with low <= |f| < high

A feature that is never active has no contexts, no bins, and nulls where a number would need an active token. Firing
rates are shares of all tokens that count; their intervals have the text as their unit (`group_jackknife`).

Shapes: F features of a layer, K slots, W tokens of a window.
"""

import dataclasses
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Float, Int, Shaped

from causeway.engine.analyses.contexts.logit_weights import LogitWeights
from causeway.engine.analyses.contexts.schemas import CONTEXTS, FEATURES, HISTOGRAMS
from causeway.engine.analyses.contexts.sweep import ContextSweep, LayerTally
from causeway.engine.analyses.contexts.tally import BINS, GROUPS, Contexts, bin_of, lower_edge
from causeway.engine.analyses.contexts.token_texts import TokenTexts, token_texts
from causeway.engine.analyses.contexts.weight_readings import WeightReading
from causeway.engine.feature_labels import Labels
from causeway.engine.stats.group_jackknife import group_jackknife
from causeway.engine.sweep.table import nan_as_null
from causeway.engine.train.corpus import Corpus

TOP, SAMPLE = "top", "sample"
# Features whose contexts are made at a time: a table's rows are in memory.
CHUNK = 4096


@dataclasses.dataclass(frozen=True)
class Tables:
    """The tables of one layer. `contexts` come in parts, as they may be large."""

    layer: int
    features: pa.Table
    histograms: pa.Table
    contexts: Iterator[pa.Table]


def layer_tables(
    sweep: ContextSweep, found: LayerTally, weights: WeightReading, texts: TokenTexts, labels: Labels
) -> Tables:
    """What a layer's tally says.

    Args:
        sweep: that was run. found, weights: of one layer. texts: of the corpus. labels: by layer and feature.
    """
    features = _features(sweep, found, weights, labels)
    return Tables(found.layer, features, _histograms(found), _contexts(sweep, found, texts))


def texts_of(sweep: ContextSweep) -> TokenTexts:
    """Texts of the tokens of a sweep's corpus."""
    return token_texts(sweep.model, sweep.corpus)


def _features(sweep: ContextSweep, found: LayerTally, weights: WeightReading, labels: Labels) -> pa.Table:
    tally, count = found.tally, found.tally.tokens.sum(axis=0, dtype=np.int64)
    sizes = np.bincount(sweep.groups, sweep.corpus.counts, GROUPS).astype(np.int64)
    rate, low, high = group_jackknife(np.asarray(tally.tokens), sizes)
    active = count > 0
    mean = np.where(active, found.total / np.maximum(count, 1), np.nan)
    own = labels.get
    columns = {
        "layer": np.full(len(count), found.layer), "feature": found.features,
        "label": [own((found.layer, f)) for f in found.features.tolist()], "active_tokens": count,
        "firing_rate": rate, "low": nan_as_null(low), "high": nan_as_null(high), "active_rows": tally.rows,
        "mean_active": nan_as_null(mean), "maximum": nan_as_null(np.where(active, tally.top.value[0], np.nan)),
    }  # fmt: skip
    alike = {"nearest": _lists(weights.nearest), "nearest_cosines": _lists(weights.cosines)}
    return pa.table({**columns, **_weights(sweep, weights.logits, len(count)), **alike}).cast(FEATURES)


def _weights(sweep: ContextSweep, found: LogitWeights | None, count: int) -> dict[str, pa.Array]:
    names = [name for name in FEATURES.names if name.startswith(("promoted", "suppressed"))]
    if found is None:
        return {name: pa.nulls(count, FEATURES.field(name).type) for name in names}
    ids = np.unique(np.concatenate([found.promoted, found.suppressed]))
    texts = np.array([sweep.model.text_after([i], [i]) for i in ids.tolist()], object)
    columns = []
    for chosen, weight in ((found.promoted, found.up), (found.suppressed, found.down)):
        own = texts[np.searchsorted(ids, chosen)]
        columns += [_lists(own), _lists(chosen), _lists(weight)]
    return dict(zip(names, columns, strict=True))


def _lists(values: Shaped[np.ndarray, "F k"]) -> pa.Array:
    """A list a row."""
    count, each = values.shape
    ends = np.arange(count + 1) * each
    return pa.ListArray.from_arrays(pa.array(ends, pa.int32()), pa.array(values.ravel()))


def _histograms(found: LayerTally) -> pa.Table:
    """Bins that hold something, smallest values first."""
    counts = found.tally.histogram[::-1]
    bins, feature = np.nonzero(counts)
    order = np.lexsort((bins, feature))
    bins, feature = bins[order], feature[order]
    top = np.asarray(bin_of(found.tally.top.value[0]))
    number = top[feature] - (BINS - 1 - bins)
    low, high = np.asarray(lower_edge(number)), np.asarray(lower_edge(number + 1))
    return pa.table({
        "layer": np.full(len(bins), found.layer), "feature": found.features[feature],
        "low": np.where(bins == 0, np.float32(0), low), "high": high, "count": counts[bins, feature],
    }).cast(HISTOGRAMS)  # fmt: skip


def _contexts(sweep: ContextSweep, found: LayerTally, texts: TokenTexts) -> Iterator[pa.Table]:
    for start in range(0, len(found.features), CHUNK):
        part = slice(start, start + CHUNK)
        kinds = [_Kind(Contexts(*(a[..., part] for a in each)), name) for name, each in
                 ((TOP, found.tally.top), (SAMPLE, found.tally.sample))]  # fmt: skip
        tables = [_of_kind(sweep, found, part, kind, texts) for kind in kinds]
        whole = pa.concat_tables(tables)
        yield whole.sort_by(
            [("feature", "ascending"), ("kind", "descending"), ("band", "ascending"), ("rank", "ascending")]
        )


@dataclasses.dataclass(frozen=True)
class _Kind:
    """Contexts of some features, and which these are."""

    found: Contexts
    name: str


def _of_kind(sweep: ContextSweep, layer: LayerTally, part: slice, kind: _Kind, texts: TokenTexts) -> pa.Table:
    """A row a slot that is filled."""
    found, corpus, reach = kind.found, sweep.corpus, sweep.sizes.reach
    feature, slot = np.nonzero(found.value.T)
    band, rank = (None, slot) if kind.name == TOP else np.divmod(slot, sweep.sizes.each)
    row, place = np.divmod(found.token[slot, feature], corpus.tokens.shape[1])
    position = place + corpus.first
    where = position[:, None] + np.arange(-reach, reach + 1)
    inside = (where >= corpus.first) & (where < corpus.lengths[row][:, None])
    assert corpus.texts is not None
    columns = {
        "layer": np.full(len(row), layer.layer), "feature": layer.features[part][feature],
        "kind": pa.array([kind.name] * len(row)), "band": pa.nulls(len(row)) if band is None else band, "rank": rank,
        "value": found.value[slot, feature], "text": corpus.texts[row], "row": row, "position": position,
        "peak": reach - inside.argmax(axis=1),
        **_windows(corpus, texts, row, where, inside, np.asarray(found.window[slot, :, feature])),
    }  # fmt: skip
    return pa.table(columns).cast(CONTEXTS)


def _windows(
    corpus: Corpus, texts: TokenTexts, row: Int[np.ndarray, " n"], where: Int[np.ndarray, "n W"],
    inside: Bool[np.ndarray, "n W"], window: Float[np.ndarray, "n W"],
) -> dict[str, pa.Array]:  # fmt: skip
    """Lists of the tokens of each window that are there."""
    ends = pa.array(np.r_[0, np.cumsum(inside.sum(axis=1))], pa.int32())
    at = np.broadcast_to(row[:, None], where.shape)[inside], where[inside]
    return {
        "tokens": pa.ListArray.from_arrays(ends, texts.column(texts.code[at]).cast(pa.string())),
        "ids": pa.ListArray.from_arrays(ends, pa.array(corpus.tokens[at], pa.int32())),
        "activations": pa.ListArray.from_arrays(ends, pa.array(window[inside], pa.float32())),
    }
