"""What is done to source features, and the random features that the same is done to.

A source is set to a value at every token of its scope up to the target's, over which discovery sums as well. Slots
begin and end where that changes it, so setting an inactive feature to 0 costs nothing.

A random feature is another one of the source's layer, whose decoder row is written in place of the source's, at its
norm, and as much more or less: the push |delta| is the same at each token, the direction is one that should not matter.
"""

import numpy as np
from jaxtyping import Bool, Float, Int

from causeway.engine.analyses.pathways.passes import ROUNDINGS, Nodes, Passes, Slots
from causeway.engine.dictionary.placement import InMemory
from causeway.engine.intervention.other_features import other_features


def in_scope(passes: Passes) -> Bool[np.ndarray, "P W"]:
    """The tokens of each prompt at which sources are set."""
    at = np.arange(passes.background.clean.streams.shape[2])
    return np.stack([np.isin(at, prompt.sources) for prompt in passes.prompts])


def moved(
    values: Float[np.ndarray, " N"], clean: Float[np.ndarray, "N P W"], within: Bool[np.ndarray, "P W"]
) -> Float[np.ndarray, "N P W"]:
    """v - f at each token of the scope, 0 where that is rounding."""
    change = np.where(within, values[:, None, None] - clean, 0.0)
    size = np.maximum(np.abs(clean), np.abs(values)[:, None, None])
    return np.where(np.abs(change) <= ROUNDINGS * np.finfo(np.float32).eps * size, 0.0, change)


def slots_of(
    source: Nodes, values: Float[np.ndarray, " N"], change: Float[np.ndarray, "N P W"],
    within: Bool[np.ndarray, "P W"], row: Int[np.ndarray, "N P"], writer: Int[np.ndarray, " N"],
) -> Slots:  # fmt: skip
    """Slots that set N sources on P prompts, each as a row: one for each run of neighbouring tokens of the scope.

    Args:
        change: v - f. within: the scope. row: its number. writer: the feature whose decoder row is written.
    """
    parts = []
    for run in _runs(within):
        moving = (change != 0) & run
        number, prompt = np.nonzero(moving.any(axis=2))
        start = moving.argmax(axis=2)[number, prompt]
        stop = moving.shape[2] - moving[:, :, ::-1].argmax(axis=2)[number, prompt]
        parts.append(Slots(
            row[number, prompt], source.layer[number], source.feature[number], start, stop, values[number],
            writer[number],
        ))  # fmt: skip
    return Slots.joined(parts)


def _runs(within: Bool[np.ndarray, "P W"]) -> list[Bool[np.ndarray, "P W"]]:
    """The first run of neighbouring tokens of each prompt, the second, and so on."""
    begins = within & ~np.pad(within, ((0, 0), (1, 0)))[:, :-1]
    number = np.cumsum(begins, axis=1)
    return [within & (number == one) for one in range(1, int(number.max()) + 1)]


def random_writers(source: Nodes, dictionary: InMemory, draws: int, seed: int) -> Int[np.ndarray, "N n"]:
    """For each source and draw the random feature in whose direction is written."""
    found = np.zeros((len(source), draws), np.int32)
    for layer in np.unique(source.layer).tolist() if draws else ():
        mine = source.layer == layer
        found[mine] = other_features(layer, source.feature[mine], dictionary, range(draws), seed)
    return found
