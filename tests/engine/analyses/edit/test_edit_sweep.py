"""Edited models measured on prompts and texts, by weights, against the same edits of activations."""

import numpy as np
import pyarrow as pa
import pytest

import causeway as cw
from causeway.engine.analyses.edit.edit_sweep import EditSweep, Items, measured, text_row
from causeway.engine.analyses.edit.settings import Setting, settings_of
from causeway.engine.analyses.evaluate.teacher_forcing import scorable
from causeway.engine.calls.run import run
from causeway.engine.devices import local_parallel
from causeway.engine.neurons import Neurons
from causeway.engine.prompt_record import pair
from causeway.engine.scaled_neurons import ScaledNeurons

NEURONS = Neurons([1, 2, 0], [5, 17, 3])
TASK = [(f"{a}+{b}=", f"{a + b}.", f"{a + b - 1}.") for a in (44, 23, 51, 17) for b in (12, 31, 25)]
OTHERS = [("today the key", " is", " are"), ("today the keys", " are", " is")]
TEXTS = ["today the keys are", "44+95=139."]


@pytest.fixture(scope="module")
def model():
    return cw.load_model("bundled:tiny")


def sweep_of(model, settings, rows=16, seed=0, devices=1):
    task = [scorable(model, pair(*texts)) for texts in TASK]
    choosing = np.random.default_rng(seed).permutation(len(task)) < 6
    items = Items(task, choosing, [scorable(model, pair(*o)) for o in OTHERS], [text_row(model, t, 16) for t in TEXTS])
    return EditSweep.of(model, items, settings, rows, local_parallel(devices))


def log_probabilities(logits):
    return logits - np.logaddexp.reduce(logits, axis=-1, keepdims=True)


def plain_value(model, edits, text, answers=()):
    """One item by `run` with edits of activations: a whole pass for each answer."""
    if not answers:
        ids = model.tokens(text)
        found = log_probabilities(run(model, ids, edits=edits).logits[0].astype(np.float64))
        return -np.mean([found[t, ids[t + 1]] for t in range(1, len(ids) - 1)])
    prompt, value = model.tokens(text), []
    for ids in model.answer_tokens(text, answers):
        found = log_probabilities(run(model, [*prompt, *ids], edits=edits).logits[0].astype(np.float64))
        value.append(sum(found[len(prompt) - 1 + i, token] for i, token in enumerate(ids)))
    return value[0] - value[1]


@pytest.mark.slow
def test_every_value_is_what_the_edit_of_activations_gives(model):
    settings = [settings_of(NEURONS, (3.0, -1.0))[index] for index in (0, 3, 8)]
    found = measured(sweep_of(model, settings))
    for setting, values in zip([None, *settings], [found.clean, *found.edited], strict=True):
        edits = setting.scaled.edits() if setting else []
        plain = [plain_value(model, edits, text, answers) for text, *answers in [*TASK, *OTHERS]]
        plain += [plain_value(model, edits, text) for text in TEXTS]
        np.testing.assert_allclose(values, plain, atol=2e-4)
    assert np.abs(found.edited - found.clean).max() > 0.01


def test_a_factor_of_one_changes_nothing_to_the_bit(model):
    found = measured(sweep_of(model, [Setting("alone", ScaledNeurons(NEURONS, np.ones(3)))]))
    np.testing.assert_array_equal(found.edited[0], found.clean)


def test_a_workdir_gives_the_same_numbers_and_resumes(model, tmp_path):
    settings = settings_of(NEURONS, (0.0,), [])
    sweep = sweep_of(model, settings)
    plain, kept = measured(sweep), measured(sweep, tmp_path / "work")
    np.testing.assert_array_equal(plain.edited, kept.edited)
    again = measured(sweep, tmp_path / "work")
    np.testing.assert_array_equal(again.edited, kept.edited)
    # Which prompts choose decides no number: another division reads what was measured.
    measured(sweep_of(model, settings, seed=5), tmp_path / "work")
    with pytest.raises(ValueError, match="settings"):
        measured(sweep_of(model, settings_of(NEURONS, (0.5,), [])), tmp_path / "work")


@pytest.mark.slow
def test_the_number_of_devices_changes_no_bit(model):
    settings = settings_of(NEURONS, (0.0,), [])
    one, four = (measured(sweep_of(model, settings, rows=4, devices=count)) for count in (1, 4))
    np.testing.assert_array_equal(one.edited, four.edited)


@pytest.mark.slow
def test_a_model_that_breaks_names_its_neurons(model):
    broken = [Setting("alone", ScaledNeurons(Neurons([1], [5]), np.array([1e38])))]
    with pytest.raises(ValueError, match=r"neurons 1:5 x1e\+38: "):
        measured(sweep_of(model, broken))


def test_neurons_that_the_model_lacks_are_refused(model, refuses):
    with refuses("the model has layers"):
        sweep_of(model, settings_of(Neurons([1], [99999])))


def test_texts_too_short_to_predict_anything_are_refused(model, refuses):
    with refuses("needs three"):
        text_row(model, "today", 16)
    assert len(text_row(model, TEXTS[0], 4).tokens) == 4


def test_the_call_chooses_and_its_edits_are_those_of_the_checkpoint(model, tmp_path):
    found = cw.edit(
        model, TASK, [(1, 5), (2, 17)], factors=[0, 3], signs=[1, -1], unrelated=OTHERS, unrelated_texts=TEXTS
    )
    table = found.table()
    assert isinstance(table, pa.Table)
    assert {"alone", "both"} == set(table["kind"].to_pylist())
    summary = found.summary()
    assert summary["sets"]["choosing"]["prompts"] == summary["sets"]["held_out"]["prompts"] == 6
    assert summary["sets"]["unrelated"]["prompts"] == summary["sets"]["unrelated_text"]["prompts"] == 2
    assert repr(found).startswith(f"EditResults({len(found.sweep.settings)} settings; chosen, ")
    again = cw.load_model(cw.save_model(model, tmp_path / "edited", found.edits))
    scores = cw.evaluate(again, TASK)["difference"].to_numpy()
    np.testing.assert_array_equal(found.values.edited[found.chosen, : len(TASK)], scores)
