"""The bundled model can do its tasks on items it was not trained on, from the 16-bit files as they are shipped."""

from pathlib import Path

import numpy as np
import pytest

import causeway as cw
from causeway.engine.dictionary.dictionary import take
from causeway.engine.intervention.instruments import Instruments
from causeway.engine.intervention.taps import TapSpec, bind_tap
from causeway.engine.model.forward import next_token_logits, run
from causeway.engine.tasks import slot_decisions, suite
from causeway.engine.tasks.slot_states import labelled_prompts
from causeway.engine.train.language_model import task_accuracy
from causeway.ports.files.hub import BUNDLED

LIMIT_BYTES = 10_000_000


@pytest.fixture(scope="module")
def model():
    return cw.load_model("bundled:tiny")


@pytest.fixture(scope="module")
def accuracy(model):
    return task_accuracy(model.transformer, model.tokenizer, suite.TASKS, length=64, count=200, seed=11)


@pytest.mark.parametrize("task", tuple(suite.TASKS))
def test_held_out_items_are_answered(accuracy, task):
    assert accuracy[task] >= 0.95


def test_the_files_stay_small():
    assert sum(path.stat().st_size for path in Path(BUNDLED / "tiny").rglob("*") if path.is_file()) <= LIMIT_BYTES


def test_prompts_have_at_most_64_tokens_with_their_answers(model):
    for example in suite.draw("slot_machine", "held_out", 200, seed=0):
        assert len(model.tokens(example.prompt + example.answer)) <= 63


def test_the_groups_choose_as_the_rule_says(model):
    prompts = labelled_prompts(seed=5, count=60)
    rows = [model.tokens(prompt.text) for prompt in prompts]
    tokens = np.array([row + [0] * (64 - len(row)) for row in rows], np.int32)
    logits = np.asarray(next_token_logits(model.transformer, tokens))[np.arange(len(rows)), [len(r) - 1 for r in rows]]
    stop, bet = (model.tokenizer.encode(word)[0] for word in (" stop", " bet"))
    chosen = logits[:, stop] > logits[:, bet]
    rule = np.array([slot_decisions.decision(prompt.game) is None for prompt in prompts])
    assert np.mean(chosen == rule) >= 0.95
    # One choice in 25 of the training texts goes against the rule, so no probability should be near 0 or 1.
    probability = np.exp(logits[:, stop]) / (np.exp(logits[:, stop]) + np.exp(logits[:, bet]))
    assert np.mean((probability > 0.002) & (probability < 0.998)) > 0.8


@pytest.mark.slow
def test_the_dictionaries_explain_the_stream_sparsely_at_every_layer(model):
    saes = cw.load_dictionaries("bundled:tiny", for_model=model)
    assert saes.config.layers == (0, 1, 2, 3)
    assert saes.num_features == 1024
    rows = [model.tokens(text)[:64] for text in suite.texts("held_out", 300, seed=3)]
    tokens = np.array([row + [0] * (64 - len(row)) for row in rows], np.int32)
    counted = np.arange(64) < np.array([len(row) for row in rows])[:, None]
    counted[:, 0] = False  # the begin-of-sequence token is not part of what they were trained on
    tap = bind_tap(TapSpec("resid_post", "raw", saes.config.layers), None)
    streams = run(model.transformer, tokens, Instruments(taps=(tap,))).records[0].values
    for index in range(4):
        x = np.asarray(streams[index])[counted]
        sae = take(saes, index)
        features = sae.encode(x)
        left = np.square(x - np.asarray(sae.decode(features))).sum()
        assert 1 - left / np.square(x - x.mean(0)).sum() >= 0.9
        assert (np.asarray(features) > 0).sum(axis=1).mean() <= 32
