"""Whether dictionaries are hooked where they belong, found by trying the other places.

A dictionary is fitted to one stream of one layer. Read at another it still gives numbers, and nothing fails: the
configuration is wrong, or this engine's idea of the place is not its maker's. So each dictionary is tried at every
stream of its width, in its own layer and the neighbouring ones, and the share of variance that it leaves unexplained
there,

    u = sum |y - y'|^2 / sum |y - mean y|^2        (0 is perfect; 1 is what the mean alone does; wrong places exceed 1)

is compared with that at the place it names. For a transcoder the stream read and the stream written are tried in turn,
the other one kept. resid_pre of a layer and resid_post of the one below are one place.

Cost: one pass over the rows for each stream, and an encode and a decode of all tokens for each place and dictionary.
"""

import dataclasses
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from causeway.engine.dictionary.dictionary import Dictionary
from causeway.engine.dictionary.placement import StreamedDictionaries
from causeway.engine.intervention.sites import STREAMS, Site
from causeway.engine.model.transformer import Transformer
from causeway.engine.progress import each
from causeway.engine.train.corpus import Corpus
from causeway.engine.train.harvest import UNREADABLE, Source

# How much less another place has to leave unexplained before the named one is called wrong: neighbouring residual
# streams are alike, and a dictionary of few rows' worth of error is not an argument.
MARGIN = 0.8
REACH = 1
TOKENS_AT_ONCE = 256
Stack = Dictionary | StreamedDictionaries


@dataclasses.dataclass(frozen=True, order=True)
class Fit:
    """What a dictionary leaves unexplained at a place; for an SAE `reads` and `writes` are one."""

    unexplained: float
    reads: Site
    writes: Site

    def __str__(self) -> str:
        """The place."""
        return str(self.reads) if self.reads == self.writes else f"{self.reads} -> {self.writes}"


@dataclasses.dataclass(frozen=True)
class Places:
    """The places at which one layer's dictionary was tried.

    named: the one in its configuration. fits: all of them, best first.
    """

    layer: int
    named: Fit
    fits: tuple[Fit, ...]

    @property
    def misplaced(self) -> bool:
        """Whether another place fits so much better that the named one is wrong."""
        return self.fits[0].unexplained < MARGIN * self.named.unexplained

    def verdict(self) -> str:
        """One line."""
        best = self.fits[0]
        if best == self.named:
            return f"layer {self.layer}: {self.named} is the right place ({_percent(self.named)} unexplained)"
        compared = f"{self.named} leaves {_percent(self.named)} unexplained, {best} leaves {_percent(best)}"
        if not self.misplaced:
            return f"layer {self.layer}: {compared}; too alike to tell"
        return f"layer {self.layer}: hooked to the wrong place: {compared}"

    def as_dict(self) -> dict:
        """All of it, JSON-ready."""
        tried = [{"place": str(fit), "unexplained": fit.unexplained} for fit in self.fits]
        return {"layer": self.layer, "named": str(self.named), "misplaced": self.misplaced, "tried": tried}


def try_places(
    transformer: Transformer,
    dictionary: Stack,
    corpus: Corpus,
) -> list[Places]:
    """Each dictionary of a stack at its own place and at all others of its width nearby.

    Args:
        transformer: the model.
        dictionary: a stack, in memory or streamed.
        corpus: a few rows of text; what `corpus` counts is read.

    Raises:
        ValueError: the corpus has no counted token, or the dictionary's width is not its stream's.
    """
    if not corpus.counts.sum():
        raise ValueError("corpus: holds no token that counts; give text")
    corpus = corpus.trimmed(transformer.config.max_position)
    tried: list[list[Fit]] = [[] for _ in dictionary.config.layers]
    trials = _transcoder_trials if dictionary.config.is_transcoder else _sae_trials
    found = trials(transformer, dictionary, corpus)
    for i, reads, writes, x, y in each("layers' places tried", found, "place", _count(transformer, dictionary)):
        held, number = dictionary.resident(dictionary.config.layers[i])
        tried[i].append(Fit(float(_unexplained(held, np.int32(number), x, y)), reads, writes))
    places = []
    for layer, fits in zip(dictionary.config.layers, tried, strict=True):
        named = next(f for f in fits if (f.reads, f.writes) == _named(dictionary, layer))
        places.append(Places(layer, named, tuple(sorted(fits))))
    return places


Trial = tuple[int, Site, Site, Float[np.ndarray, "N D"], Float[np.ndarray, "N O"]]


def _count(transformer: Transformer, dictionary: Stack) -> int:
    """How many trials there will be; the named place is one trial of both ends of a transcoder."""
    layers, transcodes = dictionary.config.layers, dictionary.config.is_transcoder
    counts = [
        sum(abs(at - layer) <= REACH for _, found in _streams(transformer, dictionary, width) for at in found
            for layer in layers)
        for width in (dictionary.d_in, dictionary.d_out)[: 1 + transcodes]
    ]  # fmt: skip
    return sum(counts) - transcodes * len(layers)


def _sae_trials(transformer: Transformer, dictionary: Stack, corpus: Corpus) -> Iterator[Trial]:
    """(position in the stack, place read, place written, what is there), a stream at a time."""
    for values in _readings(transformer, dictionary, corpus, dictionary.d_in):
        for i, layer in enumerate(dictionary.config.layers):
            for site in _near(values, layer):
                yield i, site, site, values[site], values[site]


def _transcoder_trials(transformer: Transformer, dictionary: Stack, corpus: Corpus) -> Iterator[Trial]:
    """The same, one end kept at its named place while the other is tried."""
    named = [_named(dictionary, layer) for layer in dictionary.config.layers]
    kept = {site: _read(transformer, corpus, site.stream, (site.layer,))[site] for pair in named for site in pair}
    for values in _readings(transformer, dictionary, corpus, dictionary.d_in):
        for i, layer in enumerate(dictionary.config.layers):
            for site in _near(values, layer):
                yield i, site, named[i][1], values[site], kept[named[i][1]]
    for values in _readings(transformer, dictionary, corpus, dictionary.d_out):
        for i, layer in enumerate(dictionary.config.layers):
            for site in _near(values, layer):
                if site != named[i][1]:
                    yield i, named[i][0], site, kept[named[i][0]], values[site]


Readings = dict[Site, Float[np.ndarray, "N D"]]


def _readings(transformer: Transformer, dictionary: Stack, corpus: Corpus, width: int) -> Iterator[Readings]:
    """Every stream of a width at the layers around those of the stack, one stream at a time."""
    for stream, layers in _streams(transformer, dictionary, width):
        yield _read(transformer, corpus, stream, layers)


def _streams(transformer: Transformer, dictionary: Stack, width: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    """(stream, layers) of a width around the layers of the stack."""
    config = transformer.config
    near = {layer + d for layer in dictionary.config.layers for d in range(-REACH, REACH + 1)}
    around = near & set(range(config.num_layers))
    for stream in STREAMS:
        layers = tuple(sorted(around & {0} if stream == "resid_pre" else around))
        if layers and stream not in UNREADABLE + config.unformed_streams and config.width(stream) == width:
            yield stream, layers


def _read(transformer: Transformer, corpus: Corpus, stream: str, layers: tuple[int, ...]) -> Readings:
    values = Source(transformer, corpus, stream, layers).read(np.arange(len(corpus.tokens)))
    return {Site(layer, stream): x for layer, x in zip(layers, values, strict=True)}


def _near(values: Readings, layer: int) -> list[Site]:
    return [site for site in values if abs(site.layer - layer) <= REACH]


def _named(dictionary: Stack, layer: int) -> tuple[Site, Site]:
    """The places read and written by the dictionary's own account, each under one name."""
    config = dictionary.config
    sites = (Site(layer, config.stream), Site(layer, config.output_stream))
    one, other = (Site(s.layer - 1, "resid_post") if s.stream == "resid_pre" and s.layer else s for s in sites)
    return one, other


@jax.jit
def _unexplained(
    dictionary: Dictionary, layer: Array, x: Float[Array, "N D"], y: Float[Array, "N O"]
) -> Float[Array, ""]:
    one = dictionary.at(layer)
    # Tokens in batches: all feature values of all tokens at once may be larger than the dictionary.
    made = jax.lax.map(one.reconstruct, x, batch_size=TOKENS_AT_ONCE)
    return jnp.sum((y - made) ** 2) / jnp.sum((y - jnp.mean(y, axis=0)) ** 2)


def _percent(fit: Fit) -> str:
    return f"{100 * fit.unexplained:.3g} %"
