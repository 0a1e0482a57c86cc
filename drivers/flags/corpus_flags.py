"""Flags of every driver that trains on activations over texts, and the rows of tokens they ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from causeway.drivers.flags.flag_values import no_effect
from causeway.drivers.flags.table import TASKS, take

if TYPE_CHECKING:
    from causeway.engine.model.handle import Model
    from causeway.engine.train.corpus import Corpus

FLAGS = take("data field num_texts length layout include_first seed", held_out=0.1)


def length(model: Model) -> int:
    """Tokens a row."""
    return min(FLAGS.length, model.config.max_position)


def texts() -> tuple[list[str], list[str]]:
    """Texts to train on, and held-out ones; no model is needed for that.

    Raises:
        ValueError: too few texts, or a number that is none.
    """
    from causeway.engine import scalars
    from causeway.engine.tasks import suite
    from causeway.engine.train.corpus import split_texts
    from causeway.ports.files.jsonl import read_texts

    no_effect(*("with --data=tasks", "field") if FLAGS.data == [TASKS] else ("without --data=tasks", "num_texts"))
    seed, share = scalars.seed(FLAGS.seed, "--seed"), scalars.real(FLAGS.held_out, "--held_out", 0, 1)
    if FLAGS.data == [TASKS]:
        count = max(1, round(share * FLAGS.num_texts))
        return suite.texts("train", FLAGS.num_texts, seed), suite.texts("held_out", count, seed)
    try:
        return split_texts([text for path in FLAGS.data for text in read_texts(path, FLAGS.field)], share)
    except ValueError as error:
        raise ValueError(f"--data={','.join(FLAGS.data)}: {error}") from None


def corpora(model: Model, given: tuple[list[str], list[str]]) -> list[Corpus]:
    """Rows to train on, and held-out rows."""
    from causeway.engine.train.corpus import Layout, make_corpus

    layout = cast(Layout, FLAGS.layout)
    return [make_corpus(model, part, length(model), layout, FLAGS.include_first) for part in given]
