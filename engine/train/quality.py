"""How good a stack of dictionaries is, on text it was not trained on.

    explained variance   1 - sum |y - y'|^2 / sum |y - mean y|^2, sums over tokens and coordinates
    L0                   features that are not 0 a token
    dead                 features that are 0 at every token
    size                 mean of |f| over the values that are not 0; largest |f|
    relative error       mean over tokens of |y - y'| / |y|
    cross-entropy recovered   (H_mean - H_spliced) / (H_mean - H_clean)

y is the stream written: what an SAE reads, or what a transcoder stands for. H is the model's mean next-token loss in
nats: clean, with that stream of one layer replaced by its reconstruction, with it replaced by its mean over the text,
and with it replaced by zero. 1 means the reconstruction carries everything the model used, 0 that it carries no more
than the mean does (or than nothing at all, by the figure with zero, which others publish). All replacements act at the
tokens that count (BOS excluded by default), and so does the loss. Streams that cannot be edited have no cross-entropy
figures.

Cost: an encode and a decode a token and layer, and three further passes over `loss_rows` rows a layer.
"""

import dataclasses
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from jaxtyping import Float

from causeway.engine.dictionary.fit import fitted
from causeway.engine.dictionary.placement import Holder
from causeway.engine.intervention.sites import EDITABLE
from causeway.engine.model.buckets import bucket_width
from causeway.engine.model.finite import NotFiniteError
from causeway.engine.model.transformer import Transformer
from causeway.engine.progress import Step
from causeway.engine.reading.passes import ROWS
from causeway.engine.reading.read import Part
from causeway.engine.reading.reductions import CrossedMoments, Moments, Reduction, Total
from causeway.engine.train.corpus import Corpus
from causeway.engine.train.harvest import Source, read_corpus
from causeway.engine.train.splice_loss import groups_of, rows_of, splice_losses

# Rows of the cross-entropy figures: below the first a mean says little, and above the second it hardly changes.
LEAST_ROWS, MOST_ROWS = 8, 128


@dataclasses.dataclass(frozen=True)
class LayerQuality:
    """The figures of one layer; None where they do not exist for its stream."""

    layer: int
    tokens: int
    explained_variance: float
    l0: float
    dead: int
    features: int
    relative_error: float
    mean_active: float
    largest: float
    loss_clean: float | None = None
    loss_spliced: float | None = None
    loss_mean: float | None = None
    loss_zero: float | None = None

    @property
    def loss_recovered(self) -> float | None:
        """Share of the cross-entropy lost by the mean that the reconstruction gives back."""
        return self._recovered(self.loss_mean)

    @property
    def loss_recovered_from_zero(self) -> float | None:
        """Share of the cross-entropy lost by zero that the reconstruction gives back."""
        return self._recovered(self.loss_zero)

    def _recovered(self, floor: float | None) -> float | None:
        if floor is None or self.loss_clean is None or self.loss_spliced is None or floor == self.loss_clean:
            return None
        return (floor - self.loss_spliced) / (floor - self.loss_clean)

    def as_dict(self) -> dict[str, float | int | None]:
        """All figures, JSON-ready."""
        recovered = {name: getattr(self, name) for name in ("loss_recovered", "loss_recovered_from_zero")}
        return dataclasses.asdict(self) | recovered


def measure_quality(
    transformer: Transformer,
    dictionary: Holder,
    corpus: Corpus,
    loss_rows: int = MOST_ROWS,
) -> list[LayerQuality]:
    """The figures of every layer of a stack.

    Args:
        transformer: the model the dictionaries are of.
        dictionary: any holder. Of dictionaries that cross layers there are no figures of cross-entropy: what a layer
            writes depends on inputs of others, so putting one reconstruction in place is no edit of one layer.
        corpus: held-out rows.
        loss_rows: rows used for the cross-entropy figures, at most.

    Raises:
        ValueError: the corpus has no counted token, or the stack's width or layers are not the model's.
    """
    dictionary = fitted(dictionary, transformer.config, "the model")
    config, corpus = dictionary.config, corpus.trimmed(transformer.config.max_position)
    for stream in (config.stream, config.output_stream):
        Source(transformer, corpus, stream, config.layers)  # refuses what is not one vector a token
    if not corpus.counts.sum():
        raise ValueError("corpus: holds no token that counts; give held-out text")
    editable, head = has_losses(dictionary), corpus.head(loss_rows)
    # A group of rows is read twice, and once more for every loss of it.
    passes = 2 * groups_of(corpus) + editable * groups_of(head) * _losses(config.layers)
    with Step("dictionaries measured", passes, "pass") as step:
        figures, means = _reconstruction(transformer, dictionary, corpus, step)
        if not editable:
            return figures
        losses = splice_losses(transformer, dictionary, head, means, step.advance)
    return [dataclasses.replace(figure, **loss) for figure, loss in zip(figures, losses, strict=True)]


def has_losses(dictionary: Holder) -> bool:
    """Whether there are figures of cross-entropy: its streams can be replaced layer by layer."""
    return dictionary.config.output_stream in EDITABLE and not dictionary.crosses


def rows_within(corpus: Corpus, layers: Sequence[int], passed: int) -> int:
    """Rows whose losses cost about a quarter of the passes that a training made, whole groups of them where possible.

    Args:
        corpus: held-out rows. layers: those measured. passed: tokens that the training ran through the model.

    Returns:
        `LEAST_ROWS` to `MOST_ROWS`, or all where there are fewer.
    """
    width = bucket_width(int(corpus.lengths.max(initial=1)))
    rows = passed // 4 // (width * _losses(layers))
    return min(max(rows - rows % ROWS, LEAST_ROWS), MOST_ROWS, len(corpus.tokens))


def _losses(layers: Sequence[int]) -> int:
    """Passes over a group of rows."""
    return 1 + 3 * len(layers)


def _reading(step: Step, size: int) -> Callable[[int, int], None]:
    """What a reader calls with the rows that it has done, `size` of them a pass."""
    counted = 0

    def tell(rows: int, _: int) -> None:
        nonlocal counted
        step.advance(-(-rows // size) - counted)
        counted = -(-rows // size)

    return tell


def _reconstruction(
    transformer: Transformer, dictionary: Holder, corpus: Corpus, step: Step
) -> tuple[list[LayerQuality], Float[np.ndarray, "P O"]]:
    """Everything that needs no further forward pass, and each layer's mean."""
    config, rows, tokens = dictionary.config, np.arange(len(corpus.tokens)), int(corpus.counts.sum())
    # The mean first: sums of squares around it do not cancel, however far from 0 the stream lies.
    totals = read_corpus(
        transformer, corpus, rows, (config.output_stream,), None, Total(), layers=config.layers,
        progress=_reading(step, rows_of(corpus)),
    )  # fmt: skip
    means = sum(part.values["values"].sum(axis=0, dtype=np.float64) for part in totals) / tokens
    reduce: Reduction = CrossedMoments() if dictionary.crosses else Moments()
    streams = (config.stream, config.output_stream) if config.is_transcoder else (config.stream,)
    parts = read_corpus(
        transformer, corpus, rows, streams, dictionary, reduce, data=means.astype(np.float32),
        progress=_reading(step, rows_of(corpus)),
    )  # fmt: skip
    return _figures(config.layers, dictionary.num_features, tokens, parts), means


def _figures(layers: tuple[int, ...], features: int, tokens: int, parts: Iterator[Part]) -> list[LayerQuality]:
    """The figures of each layer from sums over rows.

    Raises:
        NotFiniteError: a sum is not a number.
    """
    sums = {name: np.zeros(len(layers)) for name in ("error", "spread", "relative", "size", "largest")}
    fired = np.zeros((len(layers), features))
    for part in parts:
        # One layer, or all of them.
        place = slice(None) if part.layer < 0 else layers.index(part.layer)
        for name, total in sums.items():
            found = part.values[name].astype(np.float64)
            total[place] = np.maximum(total[place], found.max(0)) if name == "largest" else total[place] + found.sum(0)
        fired[place] += part.values["fired"].sum(axis=0)
    return layer_figures(layers, tokens, sums, fired)


def layer_figures(
    layers: tuple[int, ...], tokens: int, sums: dict[str, Float[np.ndarray, " P"]], fired: Float[np.ndarray, "P F"]
) -> list[LayerQuality]:
    """The figures of each layer.

    Args:
        layers: model layers.
        tokens: N.
        sums: error, spread, relative, size and largest, as `reductions.Moments` has them.
        fired: how often each feature is not 0.

    Raises:
        NotFiniteError: a sum is not a number.
    """
    error, spread, relative, size, largest = sums.values()
    active, features = fired.sum(axis=1), fired.shape[1]
    if (broken := ~np.isfinite(np.stack([error, spread, relative, size])).all(axis=0)).any():
        raise NotFiniteError(
            f"the dictionary of layer {layers[int(broken.argmax())]}: what it makes of the text is not finite; its "
            "files are damaged, or it belongs to another model"
        )
    return [
        LayerQuality(
            layer=layer,
            tokens=tokens,
            explained_variance=float(1 - error[i] / spread[i]),
            l0=float(active[i] / tokens),
            dead=int((fired[i] == 0).sum()),
            features=features,
            relative_error=float(relative[i] / tokens),
            mean_active=float(size[i] / max(active[i], 1)),
            largest=float(largest[i]),
        )
        for i, layer in enumerate(layers)
    ]


def quality_table(figures: list[LayerQuality]) -> str:
    """The figures as text, one line a layer; `-` where one does not exist."""
    header = "layer  explained variance      L0   dead / features  relative error  cross-entropy recovered"
    note = ["-: a stream that is not replaced layer by layer"] if any(f.loss_clean is None for f in figures) else []
    return "\n".join([header, *(_line(f) for f in figures), *note])


def _line(f: LayerQuality) -> str:
    recovered = "-" if f.loss_recovered is None else f"{f.loss_recovered:.4f}"
    left = f"{f.layer:5d}  {f.explained_variance:18.4f}  {f.l0:6.2f}  {f'{f.dead} / {f.features}':>15s}"
    return f"{left}  {f.relative_error:14.4f}  {recovered:>23s}"
