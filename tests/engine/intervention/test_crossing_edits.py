"""Features of cross-layer transcoders, which write to every layer above: edited in every kind of pass."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import causeway as cw
from causeway.engine.analyses.patch_sweep.arms import make_arms
from causeway.engine.analyses.patch_sweep.design import FeatureSet
from causeway.engine.analyses.patch_sweep.exact_units import exact_unit
from causeway.engine.analyses.patch_sweep.patch_sweep import PatchSweep
from causeway.engine.analyses.patch_sweep.settings import SweepSettings
from causeway.engine.devices import local_parallel
from causeway.engine.intervention.apply import bind_all
from causeway.engine.intervention.checks import check_edits
from causeway.engine.intervention.edit_arrays import edit_arrays
from causeway.engine.intervention.edits import EMPTY
from causeway.engine.intervention.instruments import Instruments
from causeway.engine.intervention.requests import FeatureEdit, UnitEdit
from causeway.engine.model.forward import run
from causeway.engine.model.generate import generate_rows
from causeway.engine.model.sampling import Sampling
from causeway.engine.model.segments import Layout
from causeway.engine.outcome.answers import Answer, answer_tree, score_answers
from causeway.engine.outcome.exact import Background, clean_tree, edited_answers, start_layer
from causeway.engine.prompt_record import PromptRecord
from causeway.engine.tokenized_prompt import TokenizedPrompt

LAST, FORCED = 8, np.array([5, 17, 2, 9])
ROWS = [
    [FeatureEdit(0, 4, 3.0)],
    [FeatureEdit(0, 7, 2.0, "add", "last_prompt"), FeatureEdit(0, 9, 0.1, "at_most", [1, 3])],
    [FeatureEdit(0, 4, operation="own"), FeatureEdit(1, 2, 1.5, scope="decode"), FeatureEdit(2, 3, -1.0, "scale")],
    [FeatureEdit(0, 4, 3.0), UnitEdit(1, 2)],
    [FeatureEdit(0, 4, operation="own")],
]  # fmt: skip


def edits_of(tiny, dictionary, rows=ROWS):
    edits = edit_arrays(rows, 9, tiny.CONFIG, dictionary)
    check_edits(edits, tiny.CONFIG, dictionary)
    return edits


@pytest.fixture(scope="module", params=["cross_layer", "cross_layer_skip"])
def dictionary(request, tiny, cases):
    """In float32; with thresholds where it has skip connections."""
    found = cases.make_dictionary(tiny, request.param)
    return jax.tree.map(lambda a: a.astype(jnp.float32), found)


def by_hand(row, dictionary, number):
    """A hook that adds at each layer what the edited features of that layer and those below would write more."""
    config, moved = dictionary.config, {}

    def hook(stream, layer, x):
        if stream == config.stream:
            f = np.asarray(dictionary.encode(layer, jnp.asarray(x)))
            change = np.zeros_like(f)
            for slot in range(row.layer.shape[1]):
                at, feature, start, stop, scale, shift = (
                    getattr(row, name)[number, slot] for name in ("layer", "feature", "start", "stop", "scale", "shift")
                )
                if at == layer:
                    low, high = (-np.inf, np.inf) if row.bounds is None else (b[number, slot] for b in row.bounds)
                    here = f[start:stop, feature]
                    change[start:stop, feature] = np.clip(scale * here + shift, low, high) - here
            moved[layer] = change
        if stream == config.output_stream:
            for below in range(layer + 1):
                x = x + moved[below] @ np.asarray(dictionary.W_dec[below][...])[:, layer - below]
        return x

    return hook


@pytest.mark.slow
def test_a_pass_equals_plain_numpy(tiny, cases, plain):
    rows = [row for row in ROWS if not any(isinstance(edit, UnitEdit) for edit in row)]
    with jax.enable_x64(True):
        transformer, double = tiny.make_transformer(tiny.DOUBLE), cases.make_dictionary(tiny, "cross_layer")
        (edit,) = edits_of(tiny, double, rows)
        edit = jax.tree.map(lambda a: a.astype(np.float64) if a.dtype == np.float32 else a, edit)
        tokens = np.tile([*tiny.PROMPT, *FORCED], (len(rows), 1))
        out = run(transformer, tokens, Instruments(bind_all((edit,), double)))
        for number in range(len(rows)):
            expected = plain.logits(transformer, tokens[0], by_hand(edit, double, number))
            np.testing.assert_allclose(out.logits[number], expected, atol=1e-9)
    assert np.abs(out.logits[0] - out.logits[-1]).max() > 1e-2


@pytest.mark.slow
def test_generation_exact_answers_and_own_values_are_those_of_the_pass(tiny, transformer, dictionary):
    edits, count = edits_of(tiny, dictionary), len(ROWS)
    tokens = np.tile([*tiny.PROMPT, *FORCED], (count, 1))

    def logits(edits):
        return np.asarray(run(transformer, tokens, Instruments(bind_all(edits, dictionary))).logits)

    whole, empty = logits(edits), logits(tuple(dataclasses.replace(e, layer=e.layer * 0 + EMPTY) for e in edits))
    np.testing.assert_array_equal(whole[-1], empty[-1])
    taps = (cw.Tap("logits").bind(None, 3),)
    drawn = generate_rows(
        transformer, tiny.PROMPT, trials=np.zeros(count, int), layout=Layout(count, (2, 2)), sampling=Sampling(0.0),
        seed=0, prompt_id=0, edits=edits, dictionary=dictionary, taps=taps, forced=np.tile(FORCED, (count, 1)),
    )  # fmt: skip
    np.testing.assert_allclose(drawn.records[0].values[:, :, 0], whole[:, LAST : LAST + 4], atol=2e-4)
    ids = FORCED[:3].tolist()
    tree = answer_tree(tiny.PROMPT[-1], [Answer("a", "stop")], [ids])
    clean = clean_tree(transformer, tiny.PROMPT, tree, 0)
    start = jnp.int32(start_layer(edits, clean))
    edges, reports = jax.jit(edited_answers)(Background(transformer, dictionary, clean), (edits, start))
    p = np.asarray(jax.nn.log_softmax(whole), np.float64)
    expected = sum(p[:, LAST + step, token] for step, token in enumerate(ids))
    np.testing.assert_allclose(score_answers(tree, np.asarray(edges)).log_probability[:, 0], expected, atol=2e-4)
    assert np.asarray(reports[-1].applied).any()


def test_edits_are_those_of_intervene(tiny, transformer, dictionary):
    model = cw.Model(transformer, None, "tiny", "of the tests")
    edits = [FeatureEdit(0, 4, 3.0), FeatureEdit(1, 2, 1.0)]
    out = cw.run(model, tiny.PROMPT.tolist(), edits=edits, dictionary=dictionary)
    opened = cw.intervene(
        model, tiny.PROMPT.tolist(), dictionary=dictionary, edits=[(0, slice(None), 4, 3.0), (1, slice(None), 2, 1.0)]
    )
    np.testing.assert_allclose(out.logits[0], opened.logits, atol=1e-4)


def test_what_a_feature_writes_above_is_added_to_a_vector_put_there(tiny, transformer, dictionary):
    model, vector = cw.Model(transformer, None, "tiny", "of the tests"), np.linspace(-1, 1, 16)
    feature, swap, tap = FeatureEdit(0, 4, 3.0), cw.SwapEdit(1, vector, stream="mlp_out"), cw.Tap("mlp_out", layers=1)
    call = {"dictionary": dictionary, "taps": [tap, cw.Tap(dictionary.config.stream, "all", layers=0)]}
    out = cw.run(model, tiny.PROMPT.tolist(), edits=[feature, swap], **call)
    f = out[dictionary.config.stream, 0][0][:, 4]
    written = np.outer(3.0 - f, np.asarray(dictionary.W_dec[0][...])[4, 1])
    np.testing.assert_allclose(out["mlp_out", 1][0], vector + written, atol=1e-5)


def test_a_transcoder_that_does_not_reach_the_last_layer_is_refused(tiny, cases, dictionary, refuses):
    deeper = cases.make_model(tiny, num_layers=4)
    with refuses("a cross-layer transcoder of 3 layers, but tiny llama has 4"):
        cw.run(deeper, tiny.PROMPT.tolist(), dictionary=dictionary, edits=[FeatureEdit(0, 4, 3.0)])


def test_a_reconstruction_of_all_layers_is_refused(tiny, dictionary, refuses):
    with refuses("mode: replace with a cross-layer transcoder"):
        check_edits(edit_arrays([ROWS[0]], 9, tiny.CONFIG, dictionary, "replace"), tiny.CONFIG, dictionary)


def test_features_that_write_the_stream_they_read_are_refused(tiny, cases, refuses):
    dictionary = cases.make_dictionary(tiny, "cross_layer")
    dictionary.config = dataclasses.replace(dictionary.config, stream=dictionary.config.output_stream)
    with refuses("reads and writes 'mlp_out'; needs to read an earlier stream"):
        edits_of(tiny, dictionary, [[FeatureEdit(0, 4, 3.0)]])


@pytest.mark.slow
def test_a_sweep_scores_the_answers_of_the_edited_pass(tiny, transformer, cases):
    crossing = jax.tree.map(lambda a: a.astype(jnp.float32), cases.make_dictionary(tiny, "cross_layer"))
    features = FeatureSet(np.array([0, 1]), np.array([4, 2]), {"high": np.array([3.0, 2.0])})
    answers, tokens = (Answer("5", "stop"), Answer("9", "bet")), ((5,), (9,))
    prompt = TokenizedPrompt(PromptRecord("", answers, group="a"), tuple(tiny.PROMPT.tolist()), tokens)
    sweep = PatchSweep(
        cw.Model(transformer, None, "tiny", "of the tests"), crossing, (prompt,), features,
        SweepSettings("exact", make_arms(("baseline", "patch", "random"), ("high",)), rows=8, segments=()),
        local_parallel(1),
    )  # fmt: skip
    columns = exact_unit(sweep, 0).rows
    for layer, feature, value in ((0, 4, 3.0), (1, 2, 2.0)):
        row = next(
            i for i, arm in enumerate(columns["arm"]) if arm == "patch:high" and columns["feature"][i] == feature
        )
        edits = edits_of(tiny, crossing, [[FeatureEdit(layer, feature, value, scope="last_prompt")]])
        logits = run(transformer, tiny.PROMPT[None], Instruments(bind_all(edits, crossing))).logits[0, -1]
        for label, token in (("stop", 5), ("bet", 9)):
            p = np.exp(np.asarray(jax.nn.log_softmax(logits))[token])
            np.testing.assert_allclose(columns[f"p_{label}"][row], p, rtol=1e-3)
