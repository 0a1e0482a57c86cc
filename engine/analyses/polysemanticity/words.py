"""Over how many words a neuron's component is spread, and how much they have to do with each other.

A decomposition writes the component as x_S = sum_i c_i a_i over unit vectors a_i of words. With the sign of c_i at a_i,

    words       participation ratio of the coefficients, (sum c^2)^2 / sum c^4: n words alike: n
    coherence   mean cosine of two words as they are used, weighted by |c_i c_j|:
                (|x_S|^2 - sum c^2) / ((sum |c|)^2 - sum c^2);  1: one meaning, 0: unrelated words;  NaN of one word

Beside them stand the means of unit vectors drawn at random, written over the same lexicon with as many words.

Shapes: M neurons, S words a neuron, D model. Cost: one pursuit of `DRAWS` vectors.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from causeway.engine.analyses.decompose.lexicon import token_lexicon, word_lexicon
from causeway.engine.components import Components
from causeway.engine.model.handle import Model
from causeway.engine.sparse.orthogonal_pursuit import orthogonal_pursuit

DRAWS = 64
# How far two cosines may be apart that are of the same vectors.
SAME = 1e-3
COLUMNS = ("words", "words_null", "coherence", "coherence_null")
_PURPOSE = 15


@dataclasses.dataclass(frozen=True)
class LayerWords:
    """Decompositions of neurons of one layer.

    Attributes:
        neuron: [M] numbers. coefficient: [M, S], 0 where there is no word. reconstruction: [M, D].
        texts: of each neuron, the largest coefficients first.
    """

    neuron: Int[np.ndarray, " M"]
    coefficient: Float[np.ndarray, "M S"]
    reconstruction: Float[np.ndarray, "M D"]
    texts: tuple[str, ...]


def check_same(components: Components, words: LayerWords, cosine: Float[np.ndarray, "M S"]) -> None:
    """Refuse words of other components than those given.

    Args:
        components: of the layer. words: of neurons, all of which need not be among them.
        cosine: of each reconstruction with the component that it was made of.

    Raises:
        ValueError: naming the first neuron.
    """
    place = {int(number): row for row, number in enumerate(components.neuron)}
    for number, made, known in zip(words.neuron.tolist(), words.reconstruction, cosine[:, -1], strict=True):
        if number in place:
            size = float(np.linalg.norm(made)) or 1.0
            if abs(float(made @ components.component[place[number]]) / size - known) > SAME:
                raise ValueError(
                    f"decompositions: the words of {components.layer}:{number} are of another component; decompose "
                    "these components"
                )


def spread(
    coefficient: Float[np.ndarray, "M S"], reconstruction: Float[np.ndarray, "M D"]
) -> tuple[Float[np.ndarray, " M"], Float[np.ndarray, " M"]]:
    """Words and coherence of each neuron; NaN of one without words."""
    sizes = np.abs(np.asarray(coefficient, np.float64))
    own, whole = np.square(sizes).sum(axis=1), np.square(sizes.sum(axis=1))
    length = np.square(np.asarray(reconstruction, np.float64)).sum(axis=1)
    several = (sizes > 0).sum(axis=1) > 1
    with np.errstate(divide="ignore", invalid="ignore"):
        words = np.square(own) / (sizes**4).sum(axis=1)
        coherence = np.where(several, (length - own) / (whole - own), np.nan)
    return words, coherence


def chance(atoms: Float[np.ndarray, "A D"], count: int, seed: int) -> tuple[float, float]:
    """Mean words and coherence of random directions, written with `count` of the lexicon's unit vectors."""
    drawn = np.random.default_rng((seed, _PURPOSE)).standard_normal((DRAWS, atoms.shape[1]))
    drawn = (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(atoms.dtype)
    found = orthogonal_pursuit(drawn, atoms, count)
    words, coherence = spread(found.coefficient, found.reconstructed(atoms))
    return float(words.mean()), float(np.nanmean(coherence)) if count > 1 else np.nan


def word_scores(found: LayerWords, neuron: Int[np.ndarray, " m"], null: tuple[float, float]) -> dict[str, np.ndarray]:
    """`COLUMNS` of some neurons, and their texts; NaN and "" of those without a decomposition."""
    place = {int(number): row for row, number in enumerate(found.neuron)}
    rows = np.array([place.get(int(number), -1) for number in neuron])
    scores = spread(found.coefficient, found.reconstruction)
    words, coherence = (np.where(rows >= 0, one[rows], np.nan) for one in scores)
    known = ~np.isnan(words)
    texts = np.array([found.texts[row] if row >= 0 else "" for row in rows], object)
    return {
        "words": words, "words_null": np.where(known, null[0], np.nan), "coherence": coherence,
        "coherence_null": np.where(known, null[1], np.nan), "texts": texts,
    }  # fmt: skip


def chance_of(model: Model, kind: str, count: int, texts: Sequence[str], seed: int) -> tuple[float, float]:
    """`chance` over a lexicon that is known by its texts; NaN where its vectors cannot be made again from these.

    Args:
        kind: of the lexicon: tokens, mean, first, or definitions, whose prompt is not known.
        count: most words of a neuron. texts: of the lexicon.

    Raises:
        ValueError: the model makes other texts of them.
    """
    if kind == "definitions":
        return np.nan, np.nan
    found = token_lexicon(model) if kind == "tokens" else word_lexicon(model, texts, first=kind == "first")
    if found.texts != tuple(texts):
        raise ValueError(f"lexicon: {len(texts)} texts, but {model.name} has {len(found.texts)} others of this kind")
    return chance(found.atoms, count, seed)
