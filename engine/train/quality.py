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
import functools
import itertools
import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, Int

from causeway.engine.dictionary.dictionary import Dictionary
from causeway.engine.intervention.apply import bind
from causeway.engine.intervention.edits import FOREVER, Edit, EditSpec, no_edit
from causeway.engine.intervention.instruments import Instruments
from causeway.engine.intervention.sites import EDITABLE
from causeway.engine.model.finite import NotFiniteError, refuse
from causeway.engine.model.forward import causal_pass, run
from causeway.engine.model.transformer import Transformer
from causeway.engine.precision import full_precision
from causeway.engine.train.corpus import Corpus
from causeway.engine.train.harvest import Source

ROWS_PER_PASS = 16


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
    dictionary: Dictionary,
    corpus: Corpus,
    loss_rows: int = 128,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[LayerQuality]:
    """The figures of every layer of a stack.

    Args:
        transformer: the model the dictionaries are of.
        dictionary: a stack.
        corpus: held-out rows.
        loss_rows: rows used for the cross-entropy figures, at most.
        progress: called with (groups of rows done, in all) after each; a group is read twice, and once more for every
            loss of it.

    Raises:
        ValueError: the corpus has no counted token, or the stack's width or layers are not the model's.
    """
    config = dictionary.config
    source, target = (Source(transformer, corpus, s, config.layers) for s in (config.stream, config.output_stream))
    for what, place, width in (("reads", source, dictionary.d_in), ("writes", target, dictionary.d_out)):
        if place.width != width:
            raise ValueError(
                f"dictionary: {what} vectors of width {width}, but {place.stream} of the model has {place.width}; "
                "use dictionaries of this model"
            )
    if not corpus.counts.sum():
        raise ValueError("corpus: holds no token that counts; give held-out text")
    editable, head = config.output_stream in EDITABLE, corpus.head(loss_rows)
    passes = 2 * _count(corpus) + editable * _count(head) * (1 + 3 * len(config.layers))
    counter = itertools.count(1)

    def tick() -> None:
        progress(next(counter), passes)

    figures, means = _reconstruction(dictionary, source, target, tick)
    if not editable:
        return figures
    losses = _losses(transformer, dictionary, head, means, tick)
    return [dataclasses.replace(figure, **loss) for figure, loss in zip(figures, losses, strict=True)]


def clean_loss(transformer: Transformer, corpus: Corpus) -> float:
    """The model's own mean next-token loss in nats, at the tokens that count."""
    parts = [(_summed_loss(transformer, *group, corpus.first), group[1]) for group in _padded(corpus)]
    return sum(loss for loss, _ in parts) / sum(_predicted(lengths, corpus.first) for _, lengths in parts)


def _reconstruction(
    dictionary: Dictionary, source: Source, target: Source, tick: Callable[[], None]
) -> tuple[list[LayerQuality], Float[np.ndarray, "P O"]]:
    """Everything that needs no further forward pass, and each layer's mean."""
    rows = np.arange(len(source.corpus.tokens))
    # The mean first: sums of squares around it do not cancel, however far from 0 the stream lies.
    totals, parts = [], []
    for group in _groups(rows):
        totals.append(target.read(group).sum(axis=1, dtype=np.float64))
        tick()
    tokens = int(source.corpus.counts.sum())
    means = sum(totals) / tokens
    for group in _groups(rows):
        parts.append(_group_sums(dictionary, source, target, group, means))
        tick()
    return layer_figures(dictionary.config.layers, dictionary.num_features, tokens, parts), means


def layer_figures(
    layers: tuple[int, ...], features: int, tokens: int, parts: list[tuple[tuple[np.ndarray, ...], np.ndarray]]
) -> list[LayerQuality]:
    """The figures of each layer from sums over groups of tokens.

    Args:
        layers: model layers. features: F. tokens: N in all groups.
        parts: for each group the sums of |y - y'|^2, |y - mean|^2, |y - y'| / |y|, |f| [P] and of firings [P, F], and
            the largest |f| [P].

    Raises:
        NotFiniteError: a sum is not a number.
    """
    sums, tops = zip(*parts, strict=True)
    error, spread, relative, size, fired = functools.reduce(partial(jax.tree.map, np.add), sums)
    active, largest = fired.sum(axis=1), np.max(tops, axis=0)
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


def _group_sums(
    dictionary: Dictionary, source: Source, target: Source, rows: Int[np.ndarray, " rows"], means: np.ndarray
) -> tuple[tuple[np.ndarray, ...], np.ndarray]:
    """`_sums` of some rows, padded to one shape, in float64."""
    x = source.read(rows)
    y = target.read(rows) if dictionary.config.is_transcoder else x
    count, width = x.shape[1], ROWS_PER_PASS * source.corpus.tokens.shape[1]
    x, y = (np.pad(values, ((0, 0), (0, width - count), (0, 0))) for values in (x, y))
    sums, largest = _sums(dictionary, x, y, np.arange(width) < count, means)
    return jax.tree.map(lambda a: np.asarray(a, np.float64), sums), np.asarray(largest)


def _groups(rows: Int[np.ndarray, " R"]) -> Iterator[Int[np.ndarray, " rows"]]:
    return (rows[i : i + ROWS_PER_PASS] for i in range(0, len(rows), ROWS_PER_PASS))


@jax.jit
def _sums(
    dictionary: Dictionary, x: Float[Array, "P N D"], y: Float[Array, "P N O"], there: Bool[Array, " N"],
    means: Float[Array, "P O"],
):  # fmt: skip
    """Sums over tokens of |y - y'|^2, |y - mean|^2, |y - y'| / |y|, |f| [P] and firings [P, F]; the largest |f| [P]."""

    def layer(inputs):
        one, x, y, mean = inputs
        f = jnp.where(there[:, None], one.encode(x), 0)
        error = jnp.where(there, jnp.sum((y - one.decode(f, x)) ** 2, axis=-1), 0)
        spread = jnp.where(there, jnp.sum((y - mean) ** 2, axis=-1), 0)
        relative = jnp.sqrt(error / jnp.maximum(jnp.sum(y**2, axis=-1), 1e-30))
        size = jnp.abs(f)
        return (error.sum(), spread.sum(), relative.sum(), size.sum(), jnp.sum(f != 0, axis=0)), size.max()

    return jax.lax.map(layer, (dictionary, x, y, means.astype(x.dtype)))


def _count(corpus: Corpus) -> int:
    """Number of groups of rows."""
    return -(-len(corpus.tokens) // ROWS_PER_PASS)


def _losses(
    transformer: Transformer,
    dictionary: Dictionary,
    corpus: Corpus,
    means: Float[np.ndarray, "P O"],
    tick: Callable[[], None],
) -> list[dict[str, Any]]:
    """The mean losses of each layer, by the names of their fields."""
    layers, stream = dictionary.config.layers, dictionary.config.output_stream
    totals, count = np.zeros((len(layers), 4)), 0
    for tokens, lengths in _padded(corpus):

        def loss(instruments: Instruments, tokens=tokens, lengths=lengths) -> float:
            found = _summed_loss(transformer, tokens, lengths, corpus.first, instruments)
            tick()
            return found

        clean = loss(Instruments())
        for i, layer in enumerate(layers):
            spliced = Instruments((bind(_everywhere(layer, corpus.first, EditSpec(stream, "replace")), dictionary),))
            swap, vectors = EditSpec(stream, "swap"), (means[i], np.zeros_like(means[i]))
            mean, zero = (Instruments((bind(_everywhere(layer, corpus.first, swap, v)),)) for v in vectors)
            totals[i] += clean, *(loss(edited) for edited in (spliced, mean, zero))
        count += _predicted(lengths, corpus.first)
    names = ("loss_clean", "loss_spliced", "loss_mean", "loss_zero")
    return [dict(zip(names, row, strict=True)) for row in (totals / count).tolist()]


def _padded(corpus: Corpus) -> Iterator[tuple[Int[np.ndarray, "B T"], Int[np.ndarray, " B"]]]:
    """Tokens and lengths in groups of one shape; rows that fill a group up have length 0: nothing in them counts."""
    for group in _groups(np.arange(len(corpus.tokens))):
        padded = np.pad(group, (0, ROWS_PER_PASS - len(group)), mode="edge")
        yield corpus.tokens[padded], np.where(np.arange(ROWS_PER_PASS) < len(group), corpus.lengths[padded], 0)


def _predicted(lengths: Int[np.ndarray, " B"], first: int) -> int:
    """Number of tokens whose loss counts."""
    return int(np.maximum(lengths - 1 - first, 0).sum())


def _everywhere(layer: int, first: int, spec: EditSpec, mean: Float[np.ndarray, " D"] | None = None) -> Edit:
    """One slot a row that acts at every token that counts: at its own value, or (swap) replaced by the mean."""
    ones = np.ones((ROWS_PER_PASS, 1), np.int32)
    edit = no_edit(ROWS_PER_PASS, spec=spec)
    edit = dataclasses.replace(edit, layer=ones * layer, start=ones * first, stop=ones * FOREVER)
    if mean is None:
        return edit
    vectors = np.broadcast_to(mean.astype(np.float32), (ROWS_PER_PASS, 1, len(mean)))
    return dataclasses.replace(edit, scale=np.float32(0) * ones, shift=np.float32(1) * ones, vectors=vectors)


def _summed_loss(
    transformer: Transformer, tokens: Int[np.ndarray, "B T"], lengths: Int[np.ndarray, " B"], first: int,
    instruments: Instruments = Instruments(),  # noqa: B008 (immutable)
) -> float:  # fmt: skip
    """`_loss` on the host.

    Raises:
        NotFiniteError: it is not a number.
    """
    loss = float(_loss(transformer, tokens, lengths, first, instruments))
    if not math.isfinite(loss):
        refuse(partial(full_precision(causal_pass), transformer, jnp.asarray(tokens), instruments, lengths))
    return loss


@jax.jit
def _loss(
    transformer: Transformer, tokens: Int[Array, "B T"], lengths: Int[Array, " B"], first: int, instruments: Instruments
) -> Float[Array, ""]:
    """Sum of -log p(token t + 1) over first <= t < length - 1."""
    logits = run(transformer, tokens, instruments, lengths).logits[:, :-1]
    nll = optax.softmax_cross_entropy_with_integer_labels(logits.astype(jnp.float32), tokens[:, 1:])
    positions = jnp.arange(tokens.shape[1] - 1)
    counted = (positions >= first) & (positions < lengths[:, None] - 1)
    return jnp.sum(jnp.where(counted, nll, 0))


def quality_table(figures: list[LayerQuality]) -> str:
    """The figures as text, one line a layer; `-` where one does not exist."""
    header = "layer  explained variance      L0   dead / features  relative error  cross-entropy recovered"
    return "\n".join([header, *(_line(f) for f in figures)])


def _line(f: LayerQuality) -> str:
    recovered = "-" if f.loss_recovered is None else f"{f.loss_recovered:.4f}"
    left = f"{f.layer:5d}  {f.explained_variance:18.4f}  {f.l0:6.2f}  {f'{f.dead} / {f.features}':>15s}"
    return f"{left}  {f.relative_error:14.4f}  {recovered:>23s}"
