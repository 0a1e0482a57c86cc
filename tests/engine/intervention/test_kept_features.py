"""Held features: the clean pass without edits, edits to the clean values with some, the same in every kind of pass."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from causeway.engine.analyses.intervene.intervene import intervene
from causeway.engine.calls.generate import generate
from causeway.engine.calls.run import run
from causeway.engine.dictionary.placement import StreamedDictionaries
from causeway.engine.intervention.hold import Hold
from causeway.engine.intervention.requests import FeatureEdit, SwapEdit, VectorEdit
from causeway.engine.intervention.tap_requests import Tap

PROMPT = [7, 31, 2, 19, 19, 0, 38]
FAST = ("sae", "cross_layer_skip")
SLOW = ("topk", "sae_cut", "relu", "gated", "skip_mlp_norm", "skip_resid_mid", "skip_shuffled", "cross_layer")
KINDS = [*FAST, *(pytest.param(kind, marks=pytest.mark.slow) for kind in SLOW)]
TOLD = 1e-6  # edits are told values in float32
SOME = [Hold("features", 0, [3, 7, 11]), "features.-1.5", Hold("features", 2, (5, 0))]

pytestmark = pytest.mark.usefixtures("double")


def pushed(model, layer=0, stream="attn_out"):
    """An edit far above rounding, below what is held."""
    vector = np.random.default_rng(layer).standard_normal(model.config.d_model).astype(np.float32)
    return VectorEdit(layer, vector, 3.0, "add", stream=stream)


def sets_to(values, kept):
    """Edits that set features to values at each token: `kept` are (layer, feature)."""
    return [
        FeatureEdit(layer, feature, values[layer][at, feature], scope=at)
        for layer, feature in kept
        for at in range(len(PROMPT))
    ]


def clean_values(model, dictionary, edits=()):
    """Activations of the clean pass, or of an edited one, by layer [T, F]."""
    tap = Tap(dictionary.config.stream, "all")
    out = run(model, PROMPT, dictionary=dictionary, edits=list(edits), taps=tap)
    return dict(zip(dictionary.config.layers, out.records[0][0].values, strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_without_edits_the_pass_is_the_clean_one(tiny, cases, kind):
    model, dictionary = cases.make_model(tiny), cases.make_dictionary(tiny, kind)
    clean = run(model, PROMPT).logits[0]
    for holds in (SOME, "features", ["features", "constrained"], [*SOME, "features.0"]):
        held = run(model, PROMPT, dictionary=dictionary, holds=holds).logits[0]
        np.testing.assert_array_equal(held, clean)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_held_features_are_set_to_their_clean_values(tiny, cases, kind):
    """Which is what edits at each token do that were told these values."""
    model, dictionary = cases.make_model(tiny), cases.make_dictionary(tiny, kind)
    values, push = clean_values(model, dictionary), pushed(model)
    moved = np.abs(clean_values(model, dictionary, [push])[0] - values[0]).max(axis=0).argsort()[-2:].tolist()
    kept = [*((0, feature) for feature in moved), (2, 5)]
    holds = [Hold("features", 0, moved), Hold("features", -1, 5)]
    if dictionary.config.ranked:  # edits of them are of one layer alone
        kept, holds = kept[:2], holds[:1]
    held, free = (run(model, PROMPT, dictionary=dictionary, edits=[push], holds=h).logits[0] for h in (holds, "open"))
    told = run(model, PROMPT, dictionary=dictionary, edits=[push, *sets_to(values, kept)]).logits[0]
    np.testing.assert_allclose(held, told, atol=TOLD)
    assert np.abs(held - free).max() > 1e-3


@pytest.mark.parametrize("kind", KINDS)
def test_all_features_held_equal_plain_numpy(tiny, cases, plain, plain_frozen, kind):
    model, dictionary = cases.make_model(tiny), cases.make_dictionary(tiny, kind)
    encoder, config, push, clean = plain_frozen.Encoder(dictionary), dictionary.config, pushed(model), {}
    plain.logits(model.transformer, PROMPT, lambda s, i, x: clean.setdefault((s, i), x))
    moved = np.zeros((3, len(PROMPT), dictionary.num_features))

    def hook(stream, layer, x):
        if (stream, layer) == (push.stream, push.layer):
            x = x + push.value * push.vector.astype(np.float64)
        if layer not in config.layers:
            return x
        if stream == config.stream and layer > 0:
            moved[layer] = encoder.values(layer, clean[stream, layer]) - encoder.values(layer, x)
        return encoder.written(layer, moved) + x if stream == config.output_stream else x

    expected = plain.logits(model.transformer, PROMPT, hook)
    above = [Hold("features", layer) for layer in config.layers if layer > 0]
    found = run(model, PROMPT, dictionary=dictionary, edits=[push], holds=above).logits[0]
    np.testing.assert_allclose(found, expected, atol=1e-10)


def test_the_activation_of_a_held_feature_is_the_clean_one_where_features_are_orthonormal(tiny, cases):
    """Elsewhere what the others write is read by it too, and by the one that was changed."""
    model, dictionary = cases.make_model(tiny), cases.make_dictionary(tiny, "sae")
    width = model.config.d_model
    basis = np.linalg.qr(np.random.default_rng(0).standard_normal((2, width, width)))[0]
    dictionary.W_dec[...] = jnp.zeros_like(dictionary.W_dec[...]).at[:, :width].set(basis)
    dictionary.W_enc[...] = jnp.swapaxes(dictionary.W_dec[...], 1, 2)
    values, tap = clean_values(model, dictionary), Tap("resid_post", "all")
    out = run(
        model, PROMPT, dictionary=dictionary, edits=[pushed(model)], holds=Hold("features", 2, [1, 4]), taps=[tap]
    )
    found = out["resid_post", 2, "all"][0]
    np.testing.assert_allclose(found[:, [1, 4]], values[2][:, [1, 4]], atol=1e-12)
    assert np.abs(found - values[2]).max() > 1e-3


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("operation", ["scale", pytest.param("set", marks=pytest.mark.slow)])
def test_an_edit_of_a_held_feature_starts_from_its_clean_value(tiny, cases, kind, operation):
    model, dictionary = cases.make_model(tiny), cases.make_dictionary(tiny, kind)
    values, push, held = clean_values(model, dictionary), pushed(model), Hold("features", 0, [3, 7])
    edit = FeatureEdit(0, 3, 2.5, operation)
    told = values[0].copy()
    told[:, 3] = 2.5 if operation == "set" else 2.5 * told[:, 3]
    edits = [push, *sets_to({0: told}, [(0, 3), (0, 7)])]
    expected = run(model, PROMPT, dictionary=dictionary, edits=edits).logits[0]
    found = run(model, PROMPT, dictionary=dictionary, edits=[push, edit], holds=held).logits[0]
    np.testing.assert_allclose(found, expected, atol=TOLD)


@pytest.mark.parametrize("kind", ["sae", *(pytest.param(k, marks=pytest.mark.slow) for k in (*FAST[1:], *SLOW))])
@pytest.mark.parametrize("holds", [
    pytest.param("features", marks=pytest.mark.slow),
    [Hold("features", 2, [3, 5]), "features.0.7", "attn_pattern.1"],
])  # fmt: skip
def test_exact_outcomes_generation_and_intervene_hold_what_run_holds(tiny, cases, expect_answers_of, kind, holds):
    model, dictionary, prompt = cases.make_model(tiny, "gemma2"), cases.make_dictionary(tiny, kind), PROMPT
    edits = [FeatureEdit(0, 5, 6.0, scope=[3, 6])]

    def run_held(tokens):
        return jax.nn.log_softmax(run(model, tokens, dictionary=dictionary, edits=edits, holds=holds).logits[0])

    expect_answers_of(run_held, model, dictionary, prompt, edits, holds)
    at = len(prompt) - 1

    options = {"max_new_tokens": 2, "temperature": 0, "rows": 2, "stop": (), "taps": ["logits"]}
    made = generate(model, prompt, dictionary=dictionary, edits=edits, holds=holds, **options)[0]
    np.testing.assert_allclose(jax.nn.log_softmax(made["logits"][0, 0, 0]), run_held(prompt)[at], atol=1e-9)
    new = intervene(model, prompt, dictionary, edits, holds)
    np.testing.assert_allclose(jax.nn.log_softmax(new.logits), run_held(prompt), atol=1e-9)


@pytest.mark.slow
def test_streamed_dictionaries_hold_the_layers_that_they_have(tiny, cases):
    model, stack = cases.make_model(tiny), cases.make_dictionary(tiny, "sae")
    streamed = StreamedDictionaries([stack.layer(at).config for at in stack.config.layers], stack.layer, 1)
    for holds in ("features", "features.2.4"):
        whole, other = (run(model, PROMPT, dictionary=d, edits=[pushed(model)], holds=holds) for d in (stack, streamed))
        np.testing.assert_allclose(other.logits[0], whole.logits[0], atol=1e-12)


def test_neighbours_and_padding_change_nothing(tiny, cases):
    model, dictionary = cases.make_model(tiny), cases.make_dictionary(tiny, "topk")
    call = {"dictionary": dictionary, "edits": [pushed(model)], "holds": SOME, "batch_rows": 2}
    for prompt, logits in zip((PROMPT, [3, 3, 8]), run(model, [PROMPT, [3, 3, 8]], **call).logits, strict=True):
        np.testing.assert_array_equal(run(model, prompt, **call).logits[0], logits)


@pytest.mark.parametrize(("holds", "what"), [
    (Hold("features", 1), "layer 1 has no dictionary"), ("features.0.24", "Hold.features: 24 is outside"),
    ("features.3", "Hold.layers: got 3"), ("features..3", "features.LAYER.FEATURE"), ("norm.1.2", "belong to Hold"),
])  # fmt: skip
def test_features_that_cannot_be_held_are_refused(tiny, cases, refuses, holds, what):
    with refuses(what):
        run(cases.make_model(tiny), PROMPT, dictionary=cases.make_dictionary(tiny, "sae"), holds=holds)
    with refuses("there is no dictionary"):
        run(cases.make_model(tiny), PROMPT, holds="features")


def test_where_the_stream_is_held_too_nothing_is_added(tiny, cases):
    model, dictionary = cases.make_model(tiny), cases.make_dictionary(tiny, "relu")
    push = SwapEdit(0, np.ones(model.config.d_model), scope=2, stream="resid_pre")
    one, other = (
        run(model, PROMPT, dictionary=dictionary, edits=[push], holds=holds).logits[0]
        for holds in (["mlp_out"], ["mlp_out", "features"])
    )
    np.testing.assert_array_equal(one, other)
