"""Flags of every driver that trains on activations over texts, and the rows of tokens they ask for."""

from typing import cast

from absl import flags

from causeway.drivers.flags.flag_values import MOST_SEED, TASKS

DATA = flags.DEFINE_list(
    "data", [], f"Text files (.txt, .json, .jsonl), or `{TASKS}` for texts of the bundled model's synthetic tasks."
)
FIELD = flags.DEFINE_string("field", "text", "The field that holds the text, where a file holds records.")
TEXTS = flags.DEFINE_integer("texts", 20_000, f"Number of texts drawn for --data={TASKS}.", lower_bound=10)
HELD_OUT = flags.DEFINE_float("held_out", 0.1, "Share of the texts kept for the report.")
LENGTH = flags.DEFINE_integer("length", 128, "Tokens a row, cut to the model's context.", lower_bound=2)
LAYOUT = flags.DEFINE_enum("layout", "documents", ["documents", "packed"], "Rows inside one text each, or all full.")
INCLUDE_BOS = flags.DEFINE_bool("include_bos", False, "Train on the begin-of-sequence position too.")
SEED = flags.DEFINE_integer("seed", 0, "Key of texts drawn, initial weights, data order and revivals.", 0, MOST_SEED)


def length(model) -> int:
    """Tokens a row."""
    return min(LENGTH.value, model.config.max_position)


def texts() -> tuple[list[str], list[str]]:
    """Texts to train on, and held-out ones; no model is needed for that.

    Raises:
        ValueError: too few texts, or a number that is none.
    """
    from causeway.engine import scalars
    from causeway.engine.tasks import suite
    from causeway.engine.train.corpus import split_texts
    from causeway.ports.files.jsonl import read_texts

    seed, share = scalars.seed(SEED.value, "--seed"), scalars.real(HELD_OUT.value, "--held_out", 0, 1)
    if DATA.value == [TASKS]:
        count = max(1, round(share * TEXTS.value))
        return suite.texts("train", TEXTS.value, seed), suite.texts("held_out", count, seed)
    try:
        return split_texts([text for path in DATA.value for text in read_texts(path, FIELD.value)], share)
    except ValueError as error:
        raise ValueError(f"--data={','.join(DATA.value)}: {error}") from None


def corpora(model, given: tuple[list[str], list[str]]):
    """Rows to train on, and held-out rows."""
    from causeway.engine.train.corpus import Layout, make_corpus

    layout = cast(Layout, LAYOUT.value)
    return [make_corpus(model, part, length(model), layout, INCLUDE_BOS.value) for part in given]
