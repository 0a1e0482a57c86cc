"""`cw.errors` on a small model: what it reads is what `run` and `second_order` say, and what it refuses."""

import dataclasses

import numpy as np
import pytest

import causeway as cw
from causeway.engine.analyses.errors.errors import lines
from causeway.engine.analyses.errors.measures import layer_values, measure_job, readable
from causeway.engine.neurons import Neurons
from causeway.engine.prompt_record import pair
from causeway.engine.sweep.job import run

PLANTED = (1, 17)


@pytest.fixture(scope="module")
def model():
    return cw.load_model("bundled:tiny")


@pytest.fixture(scope="module")
def records(model):
    """Sums, each right where one neuron's activation is above its median."""
    rng = np.random.default_rng(0)
    sums = list(dict.fromkeys(map(tuple, rng.integers(10, 99, (60, 2)).tolist())))
    made = [
        pair(f"{a}+{b}=", f"{a + b}.", f"{a + b + 1}.", "sums", ("train", "test")[i % 2], id=f"{a}+{b}")
        for i, (a, b) in enumerate(sums)
    ]
    found = cw.run(model, [r.text for r in made], taps=[cw.Tap("mlp_act", layers=[PLANTED[0]])])
    value = np.array([np.asarray(one[-1])[PLANTED[1]] for one in found["mlp_act", PLANTED[0]]])
    right = value > np.median(value)
    return [
        dataclasses.replace(record, fields={"correct": bool(one), "margin": float(v), "parity": i % 2})
        for i, (record, one, v) in enumerate(zip(made, right, value, strict=True))
    ]


@pytest.fixture(scope="module")
def found(model, records):
    return cw.errors(model, records, keep=5, examples=3)


def test_the_neuron_that_decides_is_found_first_and_confirmed(found):
    first = found.neurons.to_pylist()[0]
    assert (first["layer"], first["neuron"]) == PLANTED
    assert (first["auc"], first["auc_held_out"], first["verdict"]) == (1, 1, "confirmed")
    assert found.about["confirmed"] >= 1
    assert "best: 1:17 AUC 1.00, held out 1.00" in repr(found)


def test_examples_are_the_largest_of_each_class_with_what_was_answered(found, records):
    own = [row for row in found.examples if (row["layer"], row["neuron"]) == PLANTED]
    assert [(row["class"], row["place"]) for row in own] == [(name, i) for name in ("wrong", "right") for i in range(3)]
    sizes = {right: sorted((abs(r.fields["margin"]) for r in records if r.fields["correct"] == right), reverse=True)
             for right in (False, True)}  # fmt: skip
    for name, right in (("wrong", False), ("right", True)):
        values = [abs(row["value"]) for row in own if row["class"] == name]
        np.testing.assert_allclose(values, sizes[right][:3], rtol=1e-5)
    by_id = {record.id: record for record in records}
    for row in own:
        record = by_id[row["id"]]
        assert row["right_answer"] == record.correct
        assert row["given_answer"] == (record.correct if record.fields["margin"] > 0 else record.incorrect)


def test_the_report_names_neurons_words_and_fields(found):
    told = "\n".join(lines(found, {PLANTED: "nine, -ten"}))
    assert "neuron 1:17 larger where right: AUC 1.00 where chosen, 1.00" in told
    assert "words: nine, -ten" in told
    assert "answers '" in told


@pytest.mark.slow
def test_scores_are_those_of_second_order(model, records):
    scored = cw.second_order(model, records, layers=[0, 2])
    for measure, order in (("direct", 0), ("second_order", 1)):
        listed = [readable(model, record, measure, False, "last") for record in records]
        job = measure_job(model, listed, measure, [0, 2], None)
        rows = np.arange(5, 20)
        for (layer, neuron, values), place in zip(
            layer_values(job, None, measure, 0, None, rows), range(2), strict=True
        ):
            assert layer == (0, 2)[place]
            assert neuron.tolist() == list(range(256))
            np.testing.assert_array_equal(values, scored.scores[rows, place, order, 0])


def test_values_kept_in_a_workdir_are_those_computed(model, records, tmp_path):
    listed = [readable(model, record, "activation", False, "last") for record in records]
    job = measure_job(model, listed, "activation", [1, 3], None)
    run(job, tmp_path / "kept")
    chosen, rows = Neurons([3, 1, 1], [5, 9, 2]), np.array([4, 0, 7])
    kept = list(layer_values(job, tmp_path / "kept", "activation", 0, chosen, rows))
    held = list(layer_values(job, None, "activation", 0, chosen, rows))
    assert [(layer, neuron.tolist(), values.shape) for layer, neuron, values in kept] == [
        (1, [9, 2], (3, 2)), (3, [5], (3, 1)),
    ]  # fmt: skip
    for (_, _, one), (_, _, two) in zip(kept, held, strict=True):
        np.testing.assert_array_equal(one, two)


def test_some_neurons_alone_are_looked_at(model, records):
    table = cw.errors(model, records, neurons=Neurons([1, 0], [17, 3]), measure="activation").neurons
    assert sorted(zip(table["layer"].to_pylist(), table["neuron"].to_pylist(), strict=True)) == [(0, 3), (1, 17)]


def test_bad_arguments_are_refused_in_a_line(model, records):
    directions = cw.Directions(("x", "y"), np.ones((2, 128)), fingerprint=model.fingerprint)
    cases = [
        ({"measure": "loudness"}, "measure: got 'loudness'; needs one of activation, direct, second_order"),
        ({"directions": directions}, "directions, along: got one, but an activation"),
        ({"directions": directions, "measure": "direct"}, "along: got nothing; there are the directions x, y"),
        ({"measure": "direct", "along": "z"}, "along: got 'z'; there is answers"),
        ({"neurons": Neurons([9], [0])}, "neurons: got 9:0; the model has layers"),
        ({"neurons": Neurons([1], [0]), "layers": [0]}, "layers: got 0, of which no neuron is named"),
        ({"keep": 0}, "keep: got 0"),
        ({"held_out": 1.0}, "held_out: got 1.0"),
    ]
    for arguments, message in cases:
        with pytest.raises(ValueError, match=message):
            cw.errors(model, records, **arguments)
    with pytest.raises(ValueError, match="prompts: got 'a'; needs what cw"):
        cw.errors(model, "a")
