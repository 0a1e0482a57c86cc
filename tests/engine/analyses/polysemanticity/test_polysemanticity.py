"""`cw.polysemanticity` on the bundled model: scores go with `components`', and other artefacts are refused."""

import dataclasses

import numpy as np
import pytest

import causeway as cw
from causeway.engine.neurons import Neurons
from causeway.engine.prompt_record import PromptRecord

LAYERS = {1: [3, 40, 7], 2: [9, 100]}


@pytest.fixture(scope="module")
def model():
    return cw.load_model("bundled:tiny")


@pytest.fixture(scope="module")
def prompts():
    rng = np.random.default_rng(0)
    sums = list(dict.fromkeys(map(tuple, rng.integers(10, 99, (24, 2)).tolist())))
    made = [PromptRecord(f"{a}+{b}=", behaviour="sums", id=f"{a}") for a, b in sums]
    nouns = ["farmer", "pilot", "doctor", "teacher", "key", "window", "book", "garden", "table", "river"]
    return made + [PromptRecord(f"here the {a} near the {b}", behaviour="nouns") for a in nouns[:4] for b in nouns[4:]]


@pytest.fixture(scope="module")
def found(model, prompts):
    layer, neuron = zip(*[(at, n) for at, own in LAYERS.items() for n in own], strict=True)
    return cw.components(model, prompts, neurons=Neurons(layer, neuron), largest=5, held_out=0.4)


@pytest.fixture(scope="module")
def lexicon(model):
    return cw.lexicon(model)


@pytest.fixture(scope="module")
def words(model, found, lexicon):
    return [cw.decompose(model, one.components, lexicon, atoms=4, null_draws=0) for one in found.layers.values()]


def test_what_lies_beyond_components_is_what_they_do_not_explain(model, prompts, found):
    table = cw.polysemanticity(model, prompts, found).table.to_pylist()
    explained = {(row["layer"], row["neuron"]): row for row in found.table.to_pylist()}
    assert len(table) == 5
    for row in table:
        own = explained[row["layer"], row["neuron"]]
        assert row["beyond_component"] == pytest.approx(1 - own["explained_held_out"], abs=1e-4)
        assert row["beyond_null"] == pytest.approx(1 - own["random_direction"], abs=1e-6)
        assert 1 <= row["directions_low"] <= row["directions_high"]
        assert row["directions"] <= 4 * (3 - row["layer"]) + 1e-6
        assert np.isnan(row["words"])
    ranks = [row["mean_rank"] for row in table]
    assert ranks == sorted(ranks, reverse=True)


def test_words_are_scored_beside_random_directions_and_told(model, prompts, found, words, lexicon):
    result = cw.polysemanticity(model, prompts, found, decompositions=words, lexicon=lexicon)
    for row in result.table.to_pylist():
        assert 1 <= row["words"] <= 4
        assert 1 < row["words_null"] <= 4
        assert row["texts"]
    told = str(result)
    assert "5 of 5 neurons vary over" in told
    assert "most polysemantic, by the mean of ranks:" in told
    assert "kinds of prompts" in told
    assert result.about["labels"] == ["nouns", "sums"]


@pytest.mark.slow
def test_the_order_of_neurons_changes_no_score(model, prompts, found):
    other = cw.components(model, prompts, neurons=Neurons([2, 1], [100, 40]), largest=5, held_out=0.4)
    one, two = (
        {(row["layer"], row["neuron"]): row for row in cw.polysemanticity(model, prompts, own).table.to_pylist()}
        for own in (found, other)
    )
    for pair in ((2, 100), (1, 40)):
        for name in ("directions", "directions_low", "directions_null", "beyond_component", "heads", "information"):
            assert one[pair][name] == pytest.approx(two[pair][name], rel=1e-3, abs=1e-5)


def test_artefacts_that_do_not_belong_together_are_refused(model, prompts, found, words, lexicon):
    turned = [
        dataclasses.replace(one, pursuit=dataclasses.replace(one.pursuit, coefficient=one.pursuit.coefficient[::-1]))
        for one in words
    ]
    few = cw.lexicon(model, ["stop", "good", "slow"])
    cases = [
        ((prompts[:-1], found), {}, "prompts: got .*needs the"),
        ((prompts, "x"), {}, "components: got 'x'; needs what cw.components gives"),
        ((prompts, found), {"label_field": "colour"}, "label_field: prompt .* has no field 'colour'"),
        ((prompts, found), {"decompositions": words}, "decompositions, lexicon: got one of them"),
        ((prompts, found), {"decompositions": words, "lexicon": few}, "lexicon: the decomposition of layer 1 has"),
        (
            (prompts, found),
            {"decompositions": turned, "lexicon": lexicon},
            "decompositions: the words of 1:3 are of another",
        ),
    ]
    for arguments, options, message in cases:
        with pytest.raises(ValueError, match=message):
            cw.polysemanticity(model, *arguments, **options)
    other = dataclasses.replace(model, identity="another")
    with pytest.raises(ValueError, match="components: found in another model"):
        cw.polysemanticity(other, prompts, found)
