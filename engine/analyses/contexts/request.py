"""`cw.contexts`: where in texts features are active, how often and how strongly, asked for in a notebook."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Int

from causeway.engine import scalars
from causeway.engine.analyses.contexts.summary import lines, summary
from causeway.engine.analyses.contexts.sweep import UNIT_ROWS, ContextSweep, layer_tallies
from causeway.engine.analyses.contexts.tables import CONTEXTS, layer_tables, texts_of
from causeway.engine.analyses.contexts.tally import Sizes
from causeway.engine.analyses.contexts.weight_readings import weight_readings
from causeway.engine.calls.argument_order import holder_of
from causeway.engine.dictionary.fit import fitted
from causeway.engine.dictionary.placement import Holder
from causeway.engine.feature_labels import Labels, checked_labels
from causeway.engine.model.handle import Model, check_model
from causeway.engine.reading.read import ROWS
from causeway.engine.sweep.job import run_whole
from causeway.engine.train.corpus import make_corpus

Feature = tuple[int, int]
LENGTH = 128
KEPT_TOKENS = 10


@dataclasses.dataclass(frozen=True)
class FoundContexts:
    """What texts say of features.

    Attributes:
        features: a row a feature. contexts: a row a context. histograms: a row a bin. (`contexts.tables`)
        about: what was read, and how.
    """

    features: pa.Table
    contexts: pa.Table
    histograms: pa.Table
    about: Mapping[str, Any]

    def __str__(self) -> str:
        return "\n".join(lines(self.about))


def contexts(
    model: Model,
    texts: Sequence[str],
    dictionary: Holder,
    *,
    features: Sequence[Feature] | None = None,
    length: int = LENGTH,
    include_first: bool = False,
    top: int = 10,
    bands: int = 5,
    each: int = 3,
    reach: int = 10,
    tokens: int = KEPT_TOKENS,
    labels: Mapping[Feature, str] | None = None,
    batch_rows: int = ROWS,
    seed: int = 0,
    workdir: str | Path | None = None,
) -> FoundContexts:
    """Where in texts features are active: most, and in a fair sample of less; how often, and which tokens they promote.

    Args:
        model: a loaded model.
        texts: a corpus; long ones are cut into rows.
        dictionary: SAEs or transcoders, streamed and cross-layer ones too.
        features: (layer, feature) of those looked at; None takes all of the dictionary.
        length: tokens of a row, the begin-of-sequence token included; cut to the model's context.
        include_first: whether position 0, whose stream is unlike all others, counts.
        top: contexts kept of the largest values. bands, each: octaves below the maximum, and contexts drawn from each.
        reach: tokens shown on each side of the strongest.
        tokens: kept of those that the feature promotes, and suppresses; 0 for none.
        labels: of features, which the table of features carries.
        batch_rows: rows of a pass. seed: of what is drawn.
        workdir: where the run is kept, so that the same call goes on; None keeps nothing.

    Raises:
        ValueError: texts without a token that counts, features that the dictionary does not have, or a dictionary of
            another model.
        NotFiniteError: a text's pass, or a feature, is not all numbers.
    """
    check_model(model)
    holder_of("contexts", dictionary)
    if isinstance(texts, str) or not isinstance(texts, Sequence) or not all(isinstance(t, str) for t in texts):
        raise ValueError(f"texts: got {scalars.shown(texts)}; needs a list of texts")
    sizes = Sizes(*(scalars.integer(value, name, low) for value, name, low in (
        (top, "top", 1), (bands, "bands", 1), (each, "each", 1), (reach, "reach", 0)
    )))  # fmt: skip
    kept, given = scalars.integer(tokens, "tokens", 0), checked_labels(labels)
    width = min(scalars.integer(length, "length", 2), model.config.max_position)
    if not isinstance(include_first, bool):
        raise ValueError(f"include_first: got {scalars.shown(include_first)}; needs True or False")
    own = fitted(dictionary, model.config, "the model")
    chosen = features_by_layer(own, features)
    where = None if workdir is None else _folder(workdir)
    rows, seed = scalars.integer(batch_rows, "batch_rows", 1), scalars.seed(seed)
    corpus = make_corpus(model, texts, width, include_first=include_first)
    sweep = ContextSweep(model, own, corpus, chosen, sizes, UNIT_ROWS, rows, seed)
    if where is not None:
        run_whole(sweep, where)
    return found_contexts(sweep, where, given, kept)


def found_contexts(sweep: ContextSweep, workdir: Path | None, labels: Labels, tokens: int) -> FoundContexts:
    """The tables of a sweep, all in memory."""
    texts, weights, parts = texts_of(sweep), weight_readings(sweep, tokens), []
    for tally in layer_tallies(sweep, workdir):
        tables = layer_tables(sweep, tally, weights[tally.layer], texts, labels)
        parts.append((tables.features, pa.concat_tables([CONTEXTS.empty_table(), *tables.contexts]), tables.histograms))
    features, found, histograms = (pa.concat_tables(tables) for tables in zip(*parts, strict=True))
    return FoundContexts(features, found, histograms, summary(sweep, features))


def features_by_layer(dictionary: Holder, features: Sequence[Feature] | None) -> dict[int, Int[np.ndarray, " f"]]:
    """Numbers of features by layer, ascending, each once; all of a dictionary where none are named.

    Raises:
        ValueError: a feature or layer that the dictionary does not have, or none.
    """
    count, layers = dictionary.num_features, dictionary.config.layers
    if features is None:
        return {layer: np.arange(count) for layer in layers}
    if isinstance(features, str) or not isinstance(features, Sequence) or not features:
        raise ValueError(f"features: got {scalars.shown(features)}; needs a list of (layer, feature), or None for all")
    found: dict[int, set[int]] = {}
    for entry in features:
        if not isinstance(entry, tuple | list) or len(entry) != 2:
            raise ValueError(f"features: got {scalars.shown(entry)}; needs (layer, feature)")
        layer, feature = scalars.integer(entry[0], "layer"), scalars.integer(entry[1], "feature")
        if layer not in layers or not 0 <= feature < count:
            raise ValueError(
                f"features: got {layer}:{feature}; the dictionary has features 0..{count - 1} of layers {list(layers)}"
            )
        found.setdefault(layer, set()).add(feature)
    return {layer: np.array(sorted(numbers)) for layer, numbers in sorted(found.items())}


def _folder(workdir: Any) -> Path:
    if not isinstance(workdir, str | Path):
        raise ValueError(f"workdir: got {scalars.shown(workdir)}; needs a folder, or None")
    return Path(workdir)
