"""Words by how their neurons push a direction.

    weight(w) = sum over neurons n of c_n(w) s_n

with c_n(w) the coefficient of the word in the neuron's decomposition and s_n the neuron's mean second-order score on
the direction: negative for a word that is to push it the wrong way. It is the sum by which the original chooses words
for its adversarial images (Gandelsman, Efros and Steinhardt 2025), with scores in the place of its projections.

Tokens that differ in the spaces around them are one word, which is written as its place has it.
"""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence

from causeway.engine import scalars

# Of each layer, of each neuron: (index, coefficient, text).
Entries = Mapping[int, Mapping[int, Sequence[tuple[int, float, str]]]]
_LETTERS = re.compile(r"[^\W\d_]+(?:[ '\u2019-][^\W\d_]+)*")


def is_word(text: str) -> bool:
    """Whether a text is made of letters: what can be inserted. Numbers and signs could change the question."""
    return bool(_LETTERS.fullmatch(text))


def word_weights(decompositions: Entries, scores: Mapping[tuple[int, int], float]) -> dict[str, float]:
    """Words with their weights, those that push the wrong way first.

    Args:
        decompositions: layer -> neuron -> (index, coefficient, text). scores: (layer, neuron) -> mean score.

    Raises:
        ValueError: none of the neurons has a decomposition.
    """
    weights: defaultdict[str, float] = defaultdict(float)
    known = [(pair, decompositions.get(pair[0], {}).get(pair[1])) for pair in scores]
    if not any(entries for _, entries in known):
        some = ", ".join(f"{layer}:{neuron}" for layer, neuron in list(scores)[:3])
        layers = ", ".join(map(str, sorted(decompositions))) or "none"
        raise ValueError(
            f"neurons: none of {len(scores)} (such as {some}) has a decomposition, which there are of layers {layers}; "
            "decompose these neurons"
        )
    for pair, entries in known:
        for _, coefficient, text in entries or ():
            if text.strip():
                weights[text.strip()] += coefficient * scores[pair]
    return dict(sorted(weights.items(), key=lambda item: item[1]))


def given_words(words: Sequence[str] | Mapping[str, float]) -> dict[str, float]:
    """Words of one's own, each with its weight; NaN where none is given.

    Raises:
        ValueError: no words, an empty one, one twice, or a weight that is no number.
    """
    listed = list(words) if isinstance(words, Mapping | Sequence) and not isinstance(words, str | bytes) else []
    if not listed or not all(isinstance(word, str) and word.strip() for word in listed):
        raise ValueError(f"words: got {scalars.shown(words)}; needs words, or words with their weights")
    stripped = [word.strip() for word in listed]
    if twice := [word for word in stripped if stripped.count(word) > 1]:
        raise ValueError(f"words: {twice[0]!r} comes {stripped.count(twice[0])} times; name each once")
    if not isinstance(words, Mapping):
        return dict.fromkeys(stripped, float("nan"))
    weights = {word.strip(): scalars.real(words[word], f"words: weight of {word!r}") for word in listed}
    return dict(sorted(weights.items(), key=lambda item: item[1]))
