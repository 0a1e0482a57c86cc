"""What is this model, what are these dictionaries, and are they loaded right?

Shapes, dtypes, memory, sites, kinds and scales come from the files alone. With --data, dictionaries are also held to
what they are for: explained variance, L0, dead features and cross-entropy with their reconstruction in place, and each
is tried at every stream of its width in its layer and the neighbouring ones, so that one that is hooked to the wrong
place is found. Without --model, --dictionaries are looked at alone.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from causeway.drivers.flags import model_flags
from causeway.drivers.flags.flag_values import named, no_effect
from causeway.drivers.flags.refusals import run_driver
from causeway.drivers.flags.table import TASKS, take

if TYPE_CHECKING:
    from causeway.engine.model.handle import Model
    from causeway.ports.dictionaries.source import DictionarySource

FLAGS = take("data field text_rows place_tokens length json")


def main(_: list[str]) -> None:
    """Load, look, measure, print."""
    alone = FLAGS["dictionaries"].present and not FLAGS["model"].present
    if alone and FLAGS.data:
        raise ValueError("--data: dictionaries are measured inside their model; give it with --model")
    no_effect("here", "devices", "mesh", "parallel")
    if not FLAGS.data:
        no_effect("without --data", "field", "text_rows", "place_tokens", "length")
    if alone:
        no_effect("without --model", "compute", "bos")
    # Texts before weights: a file that cannot be read is found at once.
    texts = _texts()
    print(f"causeway inspect: {_forecast(bool(alone), texts)}", file=sys.stderr, flush=True)
    model = None if alone else model_flags.load_model(spread=False)
    dictionary = model_flags.load_dictionaries(model, spread=False) if _has_dictionaries() else None
    found = _look(model, dictionary, texts)
    print(json.dumps(_plain(found), indent=2) if FLAGS.json else "\n".join(_page(found)))


def _has_dictionaries() -> bool:
    return bool(FLAGS["dictionaries"].present) or FLAGS.model.startswith("bundled:")


def _forecast(alone: bool, texts: list[str]) -> str:
    """What is about to be loaded and run, from a configuration and the shapes of files."""
    from causeway.engine.analyses.inspect.forecast import Forecast, model_numbers
    from causeway.ports.models.load import model_directory, read_model_config

    with named("model"):
        config = None if alone else read_model_config(model_directory(FLAGS.model))[1]
    sources = _sources(None) if _has_dictionaries() else []
    numbers = sum(math.prod(array.shape) for source in sources for array in source.arrays.values())
    length = min(FLAGS.length, config.max_position) if config else 0
    rows = min(FLAGS.text_rows, sum(-(-len(text) // length) for text in texts)) if texts else 0
    places = FLAGS.place_tokens if sources else 0
    return Forecast(
        model_numbers(config) if config else 0, numbers, len(sources), rows * length, min(rows * length, places),
        FLAGS.storage,
    ).text()  # fmt: skip


def _sources(model: Model | None) -> list[DictionarySource]:
    """The dictionaries as their files describe them."""
    from causeway.ports.dictionaries.load import open_dictionaries

    reference = FLAGS.dictionaries or FLAGS.model
    with named("dictionaries"):
        return open_dictionaries(reference, model_flags.layers(), for_model=model, **model_flags.format_options())


def _texts() -> list[str]:
    from causeway.engine.tasks import suite
    from causeway.ports.files.jsonl import read_texts

    if FLAGS.data == [TASKS]:
        return suite.texts("held_out", FLAGS.text_rows, 0)
    return [text for path in FLAGS.data for text in read_texts(path, FLAGS.field)]


def _look(model: Model | None, dictionary: Any, texts: list[str]) -> dict:
    """Everything there is to say, by topic."""
    from causeway.engine.analyses.inspect.account import dictionary_account, model_account
    from causeway.ports.dictionaries.source import origin_of
    from causeway.ports.models.load import quantisation_of

    found: dict = {}
    if model is not None:
        found["model"] = model_account(model) | {"quantisation": quantisation_of(FLAGS.model)}
    if dictionary is not None:
        found["dictionaries"] = dictionary_account(dictionary, origin_of(_sources(model)))
    if texts and model is not None:
        found |= _measure(model, dictionary, texts)
    return found


def _measure(model: Model, dictionary: Any, texts: list[str]) -> dict:
    from causeway.engine.analyses.inspect.account import loss_account
    from causeway.engine.analyses.inspect.rounding import rounding_account
    from causeway.engine.analyses.inspect.sites import try_places
    from causeway.engine.analyses.inspect.trust import doubts
    from causeway.engine.train.corpus import make_corpus
    from causeway.engine.train.quality import measure_quality

    corpus = make_corpus(model, texts, min(FLAGS.length, model.config.max_position)).head(FLAGS.text_rows)
    loss: dict = {"loss": loss_account(model, corpus)}
    if FLAGS.storage == "int8":
        exact = model_flags.load_model(storage="float32", spread=False)
        loss["rounding"] = rounding_account(exact.transformer, model.transformer, corpus)
    if dictionary is None:
        return loss
    measured = loss | {"quality": measure_quality(model.transformer, dictionary, corpus, FLAGS.text_rows)}
    if doubts(loss["loss"]) or dictionary.crosses or not FLAGS.place_tokens:
        return measured
    few = corpus.head(int((corpus.counts.cumsum() < FLAGS.place_tokens).sum()) + 1)
    return measured | {"places": try_places(model.transformer, dictionary, few)}


def _page(found: dict) -> list[str]:
    from causeway.engine.analyses.inspect import page

    pages: dict[str, Callable[[Any], list[str]]] = {
        "model": page.model_page, "dictionaries": page.dictionary_page, "quality": page.quality_page,
        "places": page.places_page, "loss": page.loss_page, "rounding": page.rounding_page,
    }  # fmt: skip
    lines = [line for topic, what in found.items() for line in pages[topic](what)]
    card = found.get("dictionaries", {}).get("card", {})
    return lines + page.card_page(card, found.get("quality", []))


def _plain(found: dict) -> dict:
    """The same, JSON-ready."""
    measured = {t: [entry.as_dict() for entry in found[t]] for t in ("quality", "places") if t in found}
    return found | measured


if __name__ == "__main__":
    run_driver(main, sys.argv)
