"""Directions of neurons written over a lexicon, beside what chance does and what other prompts say.

Each component x (a unit vector) is written with S atoms by `sparse.orthogonal_pursuit`. What its reconstruction is
worth is told by their cosine,

    cos(x, x_S) = sqrt(1 - |x - x_S|^2)    after every number of atoms up to S,

and no cosine is much by itself: enough words reconstruct anything. The null keeps everything but which word is where:
the dictionary A is reflected at random in its own principal axes,

    A' = A V diag(e) V',    A'A = V L V',    e_i = +1 or -1

which leaves every norm, every angle between two atoms, and the second moments A'A with their axes exactly as they are.
A dictionary of permuted coordinates would have other angles between atoms, and one turned at random another position of
its large axes, which components share with words whatever they mean. Writing x over A' is writing V diag(e) V' x over
A, so x is reflected in place of the dictionary; p is the share of draws (that which came among them) in which the
cosine at S atoms is as large, exact under signs dealt at random.

Shapes: M neurons of one layer, A atoms, S atoms a neuron, R draws, D model.
Cost: (R + 1) pursuits, 2 M A D S operations each; one eigenvalue problem [D, D].
"""

import dataclasses

import numpy as np
from jaxtyping import Float, Int

from causeway.engine import scalars
from causeway.engine.analyses.decompose.lexicon import Lexicon
from causeway.engine.components import Components
from causeway.engine.sparse.orthogonal_pursuit import Pursuit, orthogonal_pursuit

# Equal cosines differ by rounding.
TIE = 1e-6
_PURPOSE = 7


@dataclasses.dataclass(frozen=True, eq=False)
class Decomposition:
    """Neurons of one layer, each written with a few texts.

    Attributes:
        layer: of the neurons.
        neuron: [M] those that have a component. left_out: those that have none, as their effect does not vary.
        texts: of the lexicon's atoms.
        pursuit: atoms, coefficients and remainders.
        within: [M] cosine between the component and the space of all atoms: what no number of them exceeds.
        null_cosine: [M, S] mean over draws; NaN without draws.
        p: [M] of the cosine at S atoms; NaN without draws.
        held_cosine: [M] |cosine| of the reconstruction with the component of other prompts; NaN where there is none.
        held_component: [M] |cosine| of the two components: what a perfect reconstruction would have.
    """

    layer: int
    neuron: Int[np.ndarray, " M"]
    left_out: Int[np.ndarray, " Z"]
    texts: tuple[str, ...]
    pursuit: Pursuit
    within: Float[np.ndarray, " M"]
    null_cosine: Float[np.ndarray, "M S"]
    p: Float[np.ndarray, " M"]
    held_cosine: Float[np.ndarray, " M"]
    held_component: Float[np.ndarray, " M"]

    @property
    def cosine(self) -> Float[np.ndarray, "M S"]:
        """Of each component with its reconstruction, after each number of atoms."""
        return self.pursuit.cosine

    @property
    def entries(self) -> list[list[tuple[int, float, str]]]:
        """(index, coefficient, text) of each neuron's texts, the largest |coefficient| first."""
        return self.pursuit.entries(self.texts)


def check_atoms(lexicon: Lexicon, atoms: int) -> None:
    """Refuse more atoms than the lexicon has.

    Raises:
        ValueError: naming both.
    """
    if not 1 <= atoms <= len(lexicon.texts):
        raise ValueError(
            f"atoms: got {atoms} for each neuron, but the lexicon has {len(lexicon.texts)} texts that can be used; "
            f"needs from 1 to {len(lexicon.texts)}"
        )


def decomposed(
    components: Components,
    lexicon: Lexicon,
    atoms: int,
    *,
    draws: int = 0,
    seed: int = 0,
    held_out: Components | None = None,
) -> Decomposition:
    """Write the components of one layer over a lexicon.

    Args:
        components: of the model that the lexicon is of.
        lexicon: texts with vectors. atoms: S, the most texts of a neuron.
        draws: R, reflected dictionaries of the null. seed: key of them.
        held_out: components of the same layer from other prompts.

    Raises:
        ValueError: artefacts of two models or layers, more atoms than texts, or no neuron that varies.
    """
    check_atoms(lexicon, atoms)
    _check_same(components, lexicon, held_out)
    chosen = np.flatnonzero(components.varies)
    if not len(chosen):
        raise ValueError(
            f"components: none of {len(components.neuron)} neurons of layer {components.layer} varies over prompts"
        )
    neuron, vectors, dictionary = components.neuron[chosen], components.component[chosen], lexicon.atoms
    vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    found = orthogonal_pursuit(vectors, dictionary, atoms)
    axes, span = _axes(dictionary)
    null, reached = _null(vectors, dictionary, axes, found, components.layer, neuron, draws, seed)
    return Decomposition(
        components.layer, neuron, components.neuron[~components.varies], lexicon.texts, found,
        np.minimum(np.linalg.norm(vectors @ axes[:, span], axis=1), 1), null,
        (1 + reached) / (1 + draws) if draws else np.full(len(neuron), np.nan),
        *_held(neuron, vectors, found.reconstructed(dictionary), held_out),
    )  # fmt: skip


def _check_same(components: Components, lexicon: Lexicon, held_out: Components | None) -> None:
    """Refuse artefacts that do not belong together."""
    pairs = [("lexicon", lexicon.fingerprint)] + ([("held_out", held_out.fingerprint)] if held_out else [])
    for name, fingerprint in pairs:
        if components.fingerprint and fingerprint and components.fingerprint != fingerprint:
            raise ValueError(
                f"{name}: of weights {fingerprint[:12]}, but the components are of {components.fingerprint[:12]}; "
                "make both on one model"
            )
    if held_out is not None and held_out.layer != components.layer:
        raise ValueError(f"held_out: of layer {held_out.layer}, but the components are of layer {components.layer}")
    widths = {len(row[0]) for row in (components.component[:1], lexicon.vectors[:1]) if len(row)}
    widths |= {held_out.component.shape[1]} if held_out else set()
    if len(widths) > 1:
        raise ValueError(f"components, lexicon: of {' and '.join(map(str, sorted(widths)))} coordinates; make both on "
                         "one model")  # fmt: skip


def _axes(dictionary: Float[np.ndarray, "A D"]) -> tuple[Float[np.ndarray, "D D"], slice]:
    """Principal axes of the dictionary as columns, and which of them it reaches."""
    wide = dictionary.astype(np.float64)
    values, axes = np.linalg.eigh(wide.T @ wide)
    return axes, slice(int((values <= np.finfo(np.float32).eps * values[-1]).sum()), None)


def _null(
    vectors: Float[np.ndarray, "M D"], dictionary: Float[np.ndarray, "A D"], axes: Float[np.ndarray, "D D"],
    found: Pursuit, layer: int, neuron: Int[np.ndarray, " M"], draws: int, seed: int,
) -> tuple[Float[np.ndarray, "M S"], Int[np.ndarray, " M"]]:  # fmt: skip
    """Mean cosines over draws, and in how many of them a neuron's last cosine is reached."""
    total, reached = np.zeros(found.remainder.shape), np.zeros(len(neuron), np.int64)
    along = vectors @ axes
    key = scalars.seed(seed)
    for draw in range(draws):
        signs = np.stack([_signs(key, layer, int(n), draw, axes.shape[0]) for n in neuron])
        cosine = orthogonal_pursuit((along * signs) @ axes.T, dictionary, found.atom.shape[1]).cosine
        total += cosine
        reached += cosine[:, -1] >= found.cosine[:, -1] - TIE
    return total / draws if draws else np.full(total.shape, np.nan), reached


def _signs(key: int, layer: int, neuron: int, draw: int, count: int) -> Float[np.ndarray, " D"]:
    """Signs of one neuron's draw, whatever other neurons there are."""
    rng = np.random.default_rng((key, _PURPOSE, layer, neuron, draw))
    return rng.integers(0, 2, count) * 2.0 - 1


def _held(
    neuron: Int[np.ndarray, " M"], vectors: Float[np.ndarray, "M D"], made: Float[np.ndarray, "M D"],
    held_out: Components | None,
) -> tuple[Float[np.ndarray, " M"], Float[np.ndarray, " M"]]:  # fmt: skip
    """|cosines| of reconstructions, and of components, with the components of other prompts."""
    both = np.full((2, len(neuron)), np.nan)
    if held_out is None:
        return both[0], both[1]
    place = {int(n): i for i, n in enumerate(held_out.neuron) if held_out.varies[i]}
    known = np.array([int(n) in place for n in neuron], bool)
    other = held_out.component[[place[int(n)] for n in neuron[known]]].reshape(-1, vectors.shape[1])
    # The sign of a component is a convention of the prompts that made it.
    for row, mine in zip(both, (made[known], vectors[known]), strict=True):
        sizes = np.linalg.norm(mine, axis=1) * np.linalg.norm(other, axis=1)
        row[known] = np.abs(np.sum(mine * other, axis=1)) / np.where(sizes > 0, sizes, 1)
    return both[0], both[1]
