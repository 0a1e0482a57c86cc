"""How good a stack of dictionaries is, on text it was not trained on.

    explained variance   1 - sum |x - x'|^2 / sum |x - mean x|^2, sums over tokens and coordinates
    L0                   features above 0 a token
    dead                 features that are 0 at every token
    relative error       mean over tokens of |x - x'| / |x|
    cross-entropy recovered   (H_mean - H_spliced) / (H_mean - H_clean)

H is the model's mean next-token loss in nats: clean, with the stream of one layer replaced by its reconstruction, and
with it replaced by its mean over the text. 1 means the reconstruction carries everything the model used, 0 that it
carries no more than the mean does. Both replacements act at the tokens that count (BOS excluded by default), and so
does the loss. Streams that cannot be edited have no cross-entropy figures.

Cost: an encode and a decode a token and layer, and two further passes over `loss_rows` rows a layer.
"""

import dataclasses
import functools
from collections.abc import Iterator
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, Int

from causeway.engine.dictionary.dictionary import Dictionary
from causeway.engine.intervention.apply import bind
from causeway.engine.intervention.edits import FOREVER, EditSpec, no_edit
from causeway.engine.intervention.instruments import Instruments
from causeway.engine.intervention.sites import EDITABLE
from causeway.engine.model.forward import run
from causeway.engine.model.transformer import Transformer
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
    loss_clean: float | None = None
    loss_spliced: float | None = None
    loss_mean: float | None = None

    @property
    def loss_recovered(self) -> float | None:
        """Share of the cross-entropy lost by the mean that the reconstruction gives back."""
        if self.loss_mean is None or self.loss_clean is None or self.loss_spliced is None:
            return None
        if self.loss_mean == self.loss_clean:
            return None
        return (self.loss_mean - self.loss_spliced) / (self.loss_mean - self.loss_clean)

    def as_dict(self) -> dict[str, float | int | None]:
        """All figures, JSON-ready."""
        return {**dataclasses.asdict(self), "loss_recovered": self.loss_recovered}


def measure_quality(
    transformer: Transformer, dictionary: Dictionary, corpus: Corpus, loss_rows: int = 128
) -> list[LayerQuality]:
    """The figures of every layer of a stack.

    Args:
        transformer: the model the dictionaries are of.
        dictionary: a stack.
        corpus: held-out rows.
        loss_rows: rows used for the cross-entropy figures, at most.

    Raises:
        ValueError: the corpus has no counted token, or the stack's width or layers are not the model's.
    """
    source = Source(transformer, corpus, dictionary.config.stream, dictionary.config.layers)
    if source.width != dictionary.W_enc[...].shape[-2]:
        raise ValueError(
            f"dictionary: reads vectors of width {dictionary.W_enc[...].shape[-2]}, but {dictionary.config.stream} of "
            f"the model has {source.width}; use dictionaries of this model"
        )
    if not corpus.counts.sum():
        raise ValueError("corpus: holds no token that counts; give held-out text")
    figures, means = _reconstruction(dictionary, source)
    if dictionary.config.stream not in EDITABLE:
        return figures
    losses = _losses(transformer, dictionary, corpus.head(loss_rows), means)
    return [
        dataclasses.replace(figure, loss_clean=clean, loss_spliced=spliced, loss_mean=ablated)
        for figure, (clean, spliced, ablated) in zip(figures, losses, strict=True)
    ]


def _reconstruction(dictionary: Dictionary, source: Source) -> tuple[list[LayerQuality], Float[np.ndarray, "P D"]]:
    """Everything that needs no further forward pass, and each layer's mean."""
    rows = np.arange(len(source.corpus.tokens))
    # The mean first: sums of squares around it do not cancel, however far from 0 the stream lies.
    total = sum(source.read(group).sum(axis=1, dtype=np.float64) for group in _groups(rows))
    tokens = int(source.corpus.counts.sum())
    means = total / tokens
    parts = (_group_sums(dictionary, source, group, means) for group in _groups(rows))
    error, spread, active, relative, fired = functools.reduce(partial(jax.tree.map, np.add), parts)
    return [
        LayerQuality(
            layer=layer,
            tokens=tokens,
            explained_variance=float(1 - error[i] / spread[i]),
            l0=float(active[i] / tokens),
            dead=int((fired[i] == 0).sum()),
            features=dictionary.num_features,
            relative_error=float(relative[i] / tokens),
        )
        for i, layer in enumerate(dictionary.config.layers)
    ], means


def _group_sums(
    dictionary: Dictionary, source: Source, rows: Int[np.ndarray, " rows"], means: Float[np.ndarray, "P D"]
) -> tuple[np.ndarray, ...]:
    """`_sums` of some rows, padded to one shape, in float64."""
    x = source.read(rows)
    width = ROWS_PER_PASS * source.corpus.tokens.shape[1]
    padded = np.pad(x, ((0, 0), (0, width - x.shape[1]), (0, 0)))
    sums = _sums(dictionary, padded, np.arange(width) < x.shape[1], means)
    return jax.tree.map(lambda a: np.asarray(a, np.float64), sums)


def _groups(rows: Int[np.ndarray, " R"]) -> Iterator[Int[np.ndarray, " rows"]]:
    return (rows[i : i + ROWS_PER_PASS] for i in range(0, len(rows), ROWS_PER_PASS))


@jax.jit
def _sums(dictionary: Dictionary, x: Float[Array, "P N D"], there: Bool[Array, " N"], means: Float[Array, "P D"]):
    """Sums over tokens of |x - x'|^2, |x - mean|^2, active features, |x - x'| / |x| [P], and firings [P, F]."""

    def layer(inputs):
        one, x, mean = inputs
        f = jnp.where(there[:, None], one.encode(x), 0)
        error = jnp.where(there, jnp.sum((x - one.decode(f)) ** 2, axis=-1), 0)
        spread = jnp.where(there, jnp.sum((x - mean) ** 2, axis=-1), 0)
        relative = jnp.sqrt(error / jnp.maximum(jnp.sum(x**2, axis=-1), 1e-30))
        return error.sum(), spread.sum(), jnp.sum(f > 0), relative.sum(), jnp.sum(f > 0, axis=0)

    return jax.lax.map(layer, (dictionary, x, means.astype(x.dtype)))


def _losses(
    transformer: Transformer, dictionary: Dictionary, corpus: Corpus, means: Float[np.ndarray, "P D"]
) -> list[tuple[float, float, float]]:
    """(clean, spliced, mean-ablated) mean loss of each layer."""
    layers, stream = dictionary.config.layers, dictionary.config.stream
    totals, count = np.zeros((len(layers), 3)), 0
    for group in _groups(np.arange(len(corpus.tokens))):
        padded = np.pad(group, (0, ROWS_PER_PASS - len(group)), mode="edge")
        # Repeated rows get length 0: nothing in them counts.
        lengths = np.where(np.arange(ROWS_PER_PASS) < len(group), corpus.lengths[padded], 0)
        passes = partial(_loss, transformer, corpus.tokens[padded], lengths, corpus.first)
        clean = float(passes(Instruments()))
        for i, layer in enumerate(layers):
            spliced = Instruments((bind(EditSpec(stream, "replace"), _everywhere(layer, corpus.first), dictionary),))
            ablated = Instruments((bind(EditSpec(stream, "swap"), _everywhere(layer, corpus.first, means[i]), None),))
            totals[i] += clean, float(passes(spliced)), float(passes(ablated))
        count += int(np.maximum(lengths - 1 - corpus.first, 0).sum())
    return [tuple(row) for row in (totals / count).tolist()]


def _everywhere(layer: int, first: int, mean: Float[np.ndarray, " D"] | None = None):
    """One slot a row that acts at every token that counts: at its own value, or (swap) replaced by the mean."""
    ones = np.ones((ROWS_PER_PASS, 1), np.int32)
    edit = dataclasses.replace(no_edit(ROWS_PER_PASS), layer=ones * layer, start=ones * first, stop=ones * FOREVER)
    if mean is None:
        return edit
    vectors = np.broadcast_to(mean.astype(np.float32), (ROWS_PER_PASS, 1, len(mean)))
    return dataclasses.replace(edit, scale=np.float32(0) * ones, shift=np.float32(1) * ones, vectors=vectors)


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
