"""Representations are the stream at the true output position, and labels are what the model does there."""

import numpy as np
import pytest
from flax import nnx

import causeway as cw
from causeway.engine.analyses.evaluate.final_answers import continuations_of
from causeway.engine.analyses.represent.labels import label_counts, labelled, written_fields
from causeway.engine.analyses.represent.streams import read_streams, represented_place
from causeway.engine.analyses.represent.top_logits import top_logits
from causeway.engine.calls.continuations import Continuation, written
from causeway.engine.intervention.sites import Place
from causeway.engine.model.handle import Model
from causeway.engine.prompt_record import PromptRecord, pair
from causeway.engine.representations import FIELDS, Representations
from causeway.engine.tokenized_prompt import TokenizedPrompt

LENGTHS = (9, 2, 20, 5, 9)


@pytest.fixture(scope="module")
def plain_model(transformer):
    return Model(transformer, None, "tiny", identity="tiny")


@pytest.fixture(scope="module")
def bundled():
    return cw.load_model("bundled:tiny")


@pytest.fixture(scope="module")
def prompts():
    rng = np.random.default_rng(0)
    return [TokenizedPrompt(PromptRecord("", id=f"p{n}"), tuple(rng.integers(0, 40, n).tolist())) for n in LENGTHS]


def stream_of(model, prompt, place):
    """All tokens of one prompt, run alone."""
    layer = model.config.num_layers if place.layer is None else place.layer
    tap = cw.Tap(place.stream, layers=layer)
    return cw.run(model, list(prompt.tokens), taps=[tap])[place.stream, layer][0]


@pytest.mark.parametrize("place", [Place("final_norm"), Place("resid_post", 1)])
@pytest.mark.parametrize("back", [1, 2])
def test_a_representation_is_the_stream_at_its_token_whatever_pads_the_prompt(plain_model, prompts, place, back):
    positions = [len(prompt.tokens) - back for prompt in prompts]
    found = read_streams(plain_model.transformer, prompts, positions, place, batch_rows=2)
    assert found.dtype == np.float32
    for prompt, position, vector in zip(prompts, positions, found, strict=True):
        np.testing.assert_allclose(vector, stream_of(plain_model, prompt, place)[position], atol=2e-5)


def test_all_tokens_are_read_with_the_output_position_among_them(plain_model, prompts):
    seen = {}
    positions = [len(prompt.tokens) - 1 for prompt in prompts]
    options = {"place": Place("final_norm"), "batch_rows": 2}
    found = read_streams(plain_model.transformer, prompts, positions, tokens=seen.__setitem__, **options)
    assert {number: len(stream) for number, stream in seen.items()} == dict(enumerate(LENGTHS))
    for number, stream in seen.items():
        np.testing.assert_array_equal(found[number], stream[-1])
    np.testing.assert_allclose(found, read_streams(plain_model.transformer, prompts, positions, **options), atol=2e-5)


def test_order_and_neighbours_change_no_bit(plain_model, prompts):
    def read(chosen):
        positions = [len(prompt.tokens) - 1 for prompt in chosen]
        return read_streams(plain_model.transformer, chosen, positions, Place("final_norm"), batch_rows=2)

    np.testing.assert_array_equal(read(prompts)[::-1], read(prompts[::-1]))


def test_activations_that_are_no_numbers_are_refused_with_the_prompt_named(plain_model, prompts):
    embedding = plain_model.transformer.embedding[...]
    broken = nnx.clone(plain_model.transformer)
    broken.embedding[...] = embedding.at[prompts[3].tokens[0]].set(np.nan)
    with pytest.raises(ValueError, match="prompt p5"):
        read_streams(broken, prompts[3:4], [4], Place("final_norm"))


@pytest.mark.slow
def test_the_largest_logits_are_those_of_the_token_written_at_each_step(bundled):
    texts = ["44+95=", "12+3="]
    prompts = [TokenizedPrompt(PromptRecord(text, id=text), tuple(bundled.tokens(text))) for text in texts]
    said = written(continuations_of(bundled, [prompt.record for prompt in prompts], 4), None)
    table = top_logits(bundled, prompts, said, 3)
    rows = table.to_pylist()
    assert len(rows) == 3 * sum(len(one.tokens) for one in said)
    first = [row for row in rows if row["rank"] == 0]
    assert [row["token"] for row in first] == [token for one in said for token in one.tokens]
    for row in rows:
        prompt, before = prompts[row["prompt"]].tokens, said[row["prompt"]].tokens[: row["step"]]
        logits = np.asarray(cw.run(bundled, [*prompt, *before]).logits[0][-1])
        assert row["id"] == texts[row["prompt"]]
        assert row["logit"] == pytest.approx(np.sort(logits)[-1 - row["rank"]], abs=1e-3)
        assert logits[row["token"]] == pytest.approx(row["logit"], abs=1e-3)
    with pytest.raises(ValueError, match="record_logits: got 100000; the vocabulary has"):
        top_logits(bundled, prompts, said, 100_000)


def test_margins_are_those_of_evaluate_and_prompts_without_answers_have_no_label(bundled):
    triples = [("44+95=", "139.", "138."), ("44+95=", "138.", "139.")]
    found = cw.represent(bundled, [*triples, "12+3=", bundled.tokens("44+95=")])
    table = cw.evaluate(bundled, triples)
    np.testing.assert_allclose(found.margins[:2], table["difference"].to_numpy(), atol=1e-5)
    assert [record.fields.get("correct") for record in found.records] == [True, False, None, None]
    assert np.isnan(found.margins[2:]).all()
    np.testing.assert_array_equal(found.right("margin"), [1, 0, np.nan, np.nan])
    np.testing.assert_allclose(found.vectors[3], found.vectors[0], atol=1e-6)
    assert found.vectors.shape == (4, bundled.config.d_model)
    assert found.fingerprint == bundled.fingerprint
    assert label_counts(found.records) == {
        "prompts": 4, "right": 1, "wrong": 1, "unlabelled": 2, "label_source": {"margin": 2},
    }  # fmt: skip


def test_what_is_written_labels_a_prompt_that_has_a_final_answer(bundled):
    records = [pair("44+95=", "138.", "139.", id=str(n), fields={"final_answer": n}) for n in (139, 138)]
    found = cw.represent(bundled, records, max_new_tokens=5)
    assert [record.fields["generated"].startswith("139") for record in found.records] == [True, True]
    assert [record.fields["correct"] for record in found.records] == [True, False]
    assert {record.fields["label_source"] for record in found.records} == {"generated"}
    np.testing.assert_array_equal(found.right("generated"), [1, 0])
    np.testing.assert_array_equal(found.right("margin"), [0, 0])
    with pytest.raises(ValueError, match="label_source: got 'phase1'; needs one of generated, margin"):
        found.right("phase1")


def test_an_earlier_reading_leaves_no_field_behind():
    old = PromptRecord("a", fields={**dict.fromkeys(FIELDS, 1), "own": 2})
    assert labelled(old, {"margin": -1.0}).fields == {
        "own": 2, "margin": -1.0, "correct": False, "label_source": "margin",
    }  # fmt: skip


def test_a_final_answer_that_is_no_number_is_refused():
    prompt = TokenizedPrompt(PromptRecord("a", id="p", fields={"final_answer": "much"}), (1,))
    with pytest.raises(ValueError, match="final_answer: 'p' has 'much'; scoring by generation needs a number"):
        written_fields([prompt], [Continuation((1,), "5")])


@pytest.mark.parametrize(("name", "place"), [
    ("final_norm", Place("final_norm")), ("resid_post.-1", Place("resid_post", 2)),
])  # fmt: skip
def test_streams_are_named_as_everywhere(plain_model, name, place):
    assert represented_place(plain_model, name) == place


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"stream": "resid_post"}, "stream: got 'resid_post'; needs final_norm, or resid_post of one layer"),
        ({"stream": "mlp_out.1"}, "stream: got 'mlp_out.1'; needs final_norm, or resid_post of one layer"),
        ({"position": "-99"}, "position: '-99' is outside a prompt of"),
        ({"position": "0:2"}, "position: '0:2' is 2 tokens of the prompt; needs one"),
        ({"prompts": "44+95="}, "prompts: got '44\\+95='; needs a list of"),
        ({"prompts": [("44+95=", "139.")]}, "needs .prompt, right answer, wrong answer., texts"),
        ({"prompts": [("44+95=", "139.", "139.")]}, "both '139.'; needs two that differ"),
        ({"prompts": [[[1, 2]]]}, "prompt 0: got ids of shape .1, 2.; needs the token ids of one prompt"),
        ({"batch_rows": 0}, "batch_rows: got 0; needs a whole number from 1"),
    ],
)
def test_what_cannot_be_represented_is_refused(bundled, changed, message):
    asked = {"prompts": [("44+95=", "139.", "138.")]} | changed
    with pytest.raises(ValueError, match=message):
        cw.represent(bundled, **asked)


def test_vectors_and_prompts_come_one_to_one():
    records = (PromptRecord("a"), PromptRecord("b"))
    with pytest.raises(ValueError, match=r"got 2 prompts and vectors of shape \(3, 4\); needs a vector"):
        Representations(records, np.ones((3, 4)))
    with pytest.raises(ValueError, match="needs an array of finite numbers"):
        Representations(records, np.full((2, 4), np.nan))
    with pytest.raises(ValueError, match=r"needs final_norm .no layer., or"):
        Representations(records, np.ones((2, 4)), "final_norm", 1)


def test_representations_belong_to_the_model_that_they_were_read_from(plain_model):
    records = (PromptRecord("a"),)
    Representations(records, np.ones((1, 16)), fingerprint="tiny").check_of_model(plain_model)
    with pytest.raises(ValueError, match="representations: made on weights 123, but tiny is tiny"):
        Representations(records, np.ones((1, 16)), fingerprint="123").check_of_model(plain_model)
