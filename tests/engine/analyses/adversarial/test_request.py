"""`cw.adversarial` on the bundled model: words that break agreement are found and confirmed, others are not; what
neurons say leads there; and every number is what `cw.evaluate` and `cw.represent` give."""

import numpy as np
import pyarrow as pa
import pytest

import causeway as cw
from causeway.engine.prompt_record import pair

NOUNS = (
    "key", "cabinet", "guard", "doctor", "teacher", "window", "book", "farmer", "pilot", "garden", "table", "river",
    "dog", "house", "painter",
)  # fmt: skip
# A word that is no noun after "near the" leaves the model without a subject: it gives all of them the same verb.
BREAKING = ["above", "beside", "under", "that"]
HARMLESS = ["superb", "film", "music", "camera"]


@pytest.fixture(scope="module")
def model():
    return cw.load_model("bundled:tiny")


@pytest.fixture(scope="module")
def template():
    """One line for thirty prompts of both numbers would need two answers: two lines."""
    fields = {"word": "story"}
    return [
        pair("yesterday the {noun} near the {word}", right, wrong, id=right.strip(),
             fields={"slots": fields | {"noun": [noun + end for noun in NOUNS]}})
        for end, right, wrong in (("", " was", " were"), ("s", " were", " was"))
    ]  # fmt: skip


def test_words_that_break_agreement_are_found_and_confirmed_on_other_nouns(model, template):
    found = cw.adversarial(model, template, [*HARMLESS[:2], *BREAKING], keep=2, held_out=0.6)
    assert {f.word for f in found.search.arms["adversarial"]} <= set(BREAKING)
    rates = {row["arm"]: row["error_rate"] for row in found.summary["arms"]}
    assert rates["clean"] == 0
    assert rates["adversarial"] > rates["random"] + 0.2
    assert found.summary["confirmed"]
    assert "these words make it err" in "\n".join(found.lines())


def test_harmless_words_are_not_confirmed(model, template):
    found = cw.adversarial(model, template, HARMLESS, keep=2, held_out=0.6)
    assert not found.summary["confirmed"]


def test_every_number_is_what_the_other_calls_give(model):
    sums = [(f"{a}+{b}=", f"{a + b}.", f"{a + b - 1}.") for a in (17, 23, 44, 51) for b in (12, 25, 31)]
    vector = np.random.default_rng(0).standard_normal((2, model.config.d_model))
    directions = cw.Directions(("first", "other"), vector, fingerprint=model.fingerprint)
    found = cw.adversarial(
        model, sums, ["Turkey", "here"], directions=directions, along="other", keep=1, lexicon=["Chile", "today"]
    )
    records = found.prompts
    read = cw.represent(model, records)
    along = dict(zip([r.text for r in records], read.vectors @ vector[1], strict=True))
    margins = dict(zip([r.text for r in records], read.margins, strict=True))
    base = {r.id: r for r in records if r.behaviour == "clean"}
    assert records
    for record in records:
        assert record.fields["margin"] == pytest.approx(margins[record.text], abs=1e-4)
        if record.behaviour != "clean":
            before = base[record.fields["base"]].text
            assert record.fields["projection_change"] == pytest.approx(along[record.text] - along[before], abs=1e-3)


def test_words_of_neurons_are_their_decompositions_by_their_scores(model):
    lexicon = cw.lexicon(model)
    at = {text: number for number, text in enumerate(lexicon.texts)}
    rows = np.stack([lexicon.atoms[at[" win"]], -lexicon.atoms[at[" river"]]]).astype(np.float32)
    components = cw.Components(1, np.array([3, 8]), np.zeros_like(rows), rows, model.fingerprint)
    found = cw.decompose(model, components, lexicon, atoms=1, null_draws=0)
    scores = pa.table(
        {"layer": [1, 1, 2], "neuron": [3, 8, 3], "direction": ["a", "a", "a"], "effect": [0.5, 2.0, 9.0]}
    )
    weights = cw.adversarial_words([found], scores)
    assert list(weights) == ["river", "win"]
    np.testing.assert_allclose(list(weights.values()), [-2.0, 0.5], rtol=1e-5)


def test_arguments_are_refused_in_a_line(model, refuses):
    good = [(f"{a}+12=", f"{a + 12}.", f"{a + 11}.") for a in range(20, 40)]
    with refuses("prompts: got '44\\+95='"):
        cw.adversarial(model, "44+95=", ["today"])
    with refuses("insert: got 'x'; needs {word} once"):
        cw.adversarial(model, good, ["today"], insert="x")
    with refuses("words: 'theorem' can be put into none of 10 prompts: .*not in the model's vocabulary"):
        cw.adversarial(model, good, ["today", "theorem"])
    with refuses("held_out: got 0"):
        cw.adversarial(model, good, ["today"], held_out=0)
    with refuses("slots: got"):
        cw.adversarial(model, good, ["today"], slots=["word"])
    with refuses("has no field 'a' for a slot"):
        cw.adversarial(model, good, ["today"], slots=["a"])
    foreign = cw.Directions(("d",), np.ones((1, model.config.d_model)), fingerprint="0" * 64)
    with refuses("directions: made on weights 000000000000"):
        cw.adversarial(model, good, ["today"], directions=foreign)
    own = cw.Directions(("d",), np.ones((1, model.config.d_model)), fingerprint=model.fingerprint)
    with refuses("along: got 'e'; needs one of d"):
        cw.adversarial(model, good, ["today"], directions=own, along="e")
    with refuses("keep: got 0"):
        cw.adversarial(model, good, ["today"], keep=0)
    with refuses("scores: needs the table of cw.second_order"):
        cw.adversarial_words([], pa.table({"layer": [1]}))
    with refuses("along: got 'b'; the scores are on a"):
        cw.adversarial_words([], pa.table({"layer": [1], "neuron": [2], "direction": ["a"], "effect": [1.0]}), "b")
