"""Flags of commands that put words into prompts: which words, and which others they are compared with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from causeway.drivers.flags import neuron_flags
from causeway.drivers.flags.flag_values import given, named, no_effect
from causeway.drivers.flags.table import take

if TYPE_CHECKING:
    from causeway.engine.model.handle import Model

FLAGS = take("decompositions words", lexicon="")
TOKENS = "tokens"


def check() -> None:
    """Refuse flags that do not go together, before anything is read.

    Raises:
        ValueError: neither --words nor a decomposition with scores, or both.
    """
    if FLAGS.words:
        no_effect("with --words", "decompositions", "neurons", "limit_neurons")
    else:
        given("decompositions", "the folder that `decompose` wrote, and --neurons that of `second_order`; or --words")
        given("neurons", "the folder that `second_order` wrote: its scores weight the words of --decompositions")


def weights(model: Model, direction: str) -> dict[str, float]:
    """The words of --words, or those that the neurons of --neurons say, with how they push a direction.

    Raises:
        ValueError: they are of another model, or of no neuron; FileNotFoundError: no such file.
    """
    import numpy as np

    from causeway.engine.analyses.adversarial.words import given_words, word_weights
    from causeway.engine.directions import check_of_model
    from causeway.engine.neurons import Neurons
    from causeway.ports.lexicons import lexicon_files
    from causeway.ports.results.decomposition_files import read_entries
    from causeway.ports.results.neuron_files import read_scores

    if FLAGS.words:
        with named("words"):
            words = lexicon_files.given_words(FLAGS.words)
            if not isinstance(words, dict):
                no_effect("with words without weights, all of which are tried", "num_words")
            return given_words(words)
    with named("decompositions"):
        entries, fingerprint = read_entries(FLAGS.decompositions)
        check_of_model("decompositions", fingerprint, model.config.d_model, None, model)
    with named("neurons"):
        scores, fingerprint = read_scores(FLAGS.neurons, direction)
        check_of_model("scores", fingerprint, model.config.d_model, None, model)
        kept = neuron_flags.limited(Neurons(*map(np.array, zip(*scores, strict=True))))
        pairs = zip(kept.layer.tolist(), kept.neuron.tolist(), strict=True)
        return word_weights(entries, {pair: scores[pair] for pair in pairs})


def lexicon(model: Model) -> Sequence[str]:
    """Texts that random words are drawn from: of --lexicon, else of --decompositions, else all tokens.

    Raises:
        ValueError: not a lexicon; FileNotFoundError: no such file.
    """
    from causeway.engine.analyses.decompose.lexicon import token_lexicon
    from causeway.ports.lexicons.lexicon_files import lexicon_words
    from causeway.ports.results.decomposition_files import LEXICON

    source = FLAGS.lexicon or (Path(FLAGS.decompositions, LEXICON) if FLAGS.decompositions else TOKENS)
    if source == TOKENS:
        return token_lexicon(model).texts
    with named("lexicon"):
        return lexicon_words(source)
