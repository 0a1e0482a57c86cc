"""`cw.lexicon` and `cw.decompose`: which few words say a neuron's direction, asked for in a notebook."""

from collections.abc import Sequence
from typing import Any

from causeway.engine import scalars
from causeway.engine.analyses.decompose.decompose import Decomposition, decomposed
from causeway.engine.analyses.decompose.definitions import TEMPLATE, check_template, definition_lexicon
from causeway.engine.analyses.decompose.lexicon import (
    WORD_VECTORS,
    Lexicon,
    WordVectors,
    checked_words,
    token_lexicon,
    word_lexicon,
)
from causeway.engine.components import Components
from causeway.engine.directions import check_of_model
from causeway.engine.model.handle import Model, check_model
from causeway.engine.reading.passes import ROWS

TOKENS = "tokens"


def lexicon(
    model: Model,
    words: str | Sequence[str] = TOKENS,
    *,
    vectors: WordVectors = "mean",
    definition: str = TEMPLATE,
    batch_rows: int = ROWS,
) -> Lexicon:
    """Texts with their vectors in the stream `final_norm`.

    Args:
        model: a loaded model with a tokenizer.
        words: "tokens" for every token that is a text, or words and phrases (`cw.lexicon_words`, `cw.words_of_texts`).
        vectors: of words: the mean of their tokens' unembedding columns, the first token's, or definitions, the state
            after a definition prompt.
        definition: that prompt, with WORD in the word's place.
        batch_rows: definition prompts of a pass.

    Raises:
        ValueError: no words, a template without WORD, or fewer than two texts that can be used; what cannot is in
            `left_out` of the lexicon.
        NotFiniteError: a word's pass is not all numbers.
    """
    check_model(model)
    if vectors not in WORD_VECTORS:
        raise ValueError(f"vectors: got {scalars.shown(vectors)}; needs one of {', '.join(WORD_VECTORS)}")
    check_template(definition)
    return made_lexicon(model, words, vectors, definition, batch_rows=scalars.integer(batch_rows, "batch_rows", 1))


def made_lexicon(
    model: Model, words: str | Sequence[str], vectors: WordVectors, definition: str, **reading: Any
) -> Lexicon:
    """`lexicon` for commands.

    Args:
        reading: batch_rows, parallel and kept of `definition_lexicon`.
    """
    if isinstance(words, str) and words == TOKENS:
        return token_lexicon(model)
    listed = checked_words(words)
    if vectors == "definitions":
        return definition_lexicon(model, listed, definition, **reading)
    return word_lexicon(model, listed, first=vectors == "first")


def decompose(
    model: Model,
    components: Components,
    lexicon: Lexicon,
    *,
    atoms: int = 32,
    null_draws: int = 39,
    seed: int = 0,
    held_out: Components | None = None,
) -> Decomposition:
    """The components of one layer's neurons, each written with a few texts by orthogonal matching pursuit.

    Args:
        model: that both are of.
        components: unit directions of neurons of one layer (`cw.components`).
        lexicon: of `cw.lexicon`.
        atoms: the most texts of a neuron.
        null_draws: reflected dictionaries that the cosines are compared with; p is at least 1 / (1 + null_draws).
        seed: key of them.
        held_out: components of the same layer from other prompts, to see whether the words hold there.

    Returns:
        Atoms, coefficients and cosines of each neuron, with the null's; `entries` names each neuron's texts.

    Raises:
        ValueError: something else than components or a lexicon, artefacts of two models or layers, more atoms than
            texts, or no neuron whose effect varies.
    """
    check_model(model)
    for name, value, kind in (("components", components, Components), ("lexicon", lexicon, Lexicon)):
        if not isinstance(value, kind):
            raise ValueError(f"{name}: got {scalars.shown(value)}; needs what cw.{name} returns")
    if held_out is not None and not isinstance(held_out, Components):
        raise ValueError(f"held_out: got {scalars.shown(held_out)}; needs what cw.components returns, or None")
    check_of_model("lexicon", lexicon.fingerprint, lexicon.vectors.shape[1], None, model)
    components.check_of_model(model)
    count, draws = scalars.integer(atoms, "atoms", 1), scalars.integer(null_draws, "null_draws")
    return decomposed(components, lexicon, count, draws=draws, seed=scalars.seed(seed), held_out=held_out)
