"""Flags of commands that describe directions with words: which words, and what each stands for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from causeway.drivers.flags import model_flags, reading_flags
from causeway.drivers.flags.flag_values import given, named, no_effect
from causeway.drivers.flags.left_out import tell
from causeway.drivers.flags.table import take

if TYPE_CHECKING:
    from causeway.engine.analyses.decompose.lexicon import Lexicon
    from causeway.engine.model.handle import Model

FLAGS = take("lexicon word_vectors definition data field min_count", batch_rows=16)
TOKENS, DATA, DEFINITIONS = "tokens", "data", "definitions"


def words() -> str | list[str]:
    """What the lexicon is of, before a model is loaded.

    Raises:
        ValueError: flags that would do nothing, or no words; FileNotFoundError: no such file.
    """
    from causeway.engine.analyses.decompose.definitions import check_template
    from causeway.engine.analyses.decompose.rationales import words_of_texts
    from causeway.ports.files.jsonl import read_texts
    from causeway.ports.lexicons.lexicon_files import lexicon_words

    _check()
    check_template(FLAGS.definition)
    if FLAGS.lexicon == TOKENS:
        return TOKENS
    if FLAGS.lexicon == DATA:
        with named("data"):
            texts = [text for path in FLAGS.data for text in read_texts(path, FLAGS.field)]
        return words_of_texts(texts, FLAGS.min_count)
    with named("lexicon"):
        return lexicon_words(FLAGS.lexicon)


def _check() -> None:
    """Refuse flags that would do nothing."""
    given("lexicon", "tokens, maths, data, or a file of words")
    if FLAGS.lexicon == DATA:
        given("data", "files of texts whose frequent words are the lexicon")
    else:
        no_effect("without --lexicon=data", "data", "field", "min_count")
    if FLAGS.lexicon == TOKENS:
        no_effect("with --lexicon=tokens", "word_vectors")
    if FLAGS.lexicon == TOKENS or FLAGS.word_vectors != DEFINITIONS:
        no_effect(
            "without --word_vectors=definitions", "definition", "workdir", "batch_rows", "devices", "mesh", "parallel"
        )


def load(model: Model, words: str | list[str]) -> Lexicon:
    """Texts with their vectors, after telling which have none.

    Raises:
        ValueError: fewer than two that can be used.
    """
    from causeway.engine.analyses.decompose.request import made_lexicon

    found = made_lexicon(
        model, words, FLAGS.word_vectors, FLAGS.definition, batch_rows=FLAGS.batch_rows,
        parallel=model_flags.parallel(), kept=reading_flags.kept(model, DEFINITIONS),
    )  # fmt: skip
    tell(found.told())
    print(f"lexicon: {len(found.texts)} texts")
    return found
