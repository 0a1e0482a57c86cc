"""Streamed dictionaries and those that cross layers in `run` and `generate`."""

import jax
import numpy as np
import pytest

import causeway as cw
from causeway.engine.dictionary.placement import StreamedDictionaries
from causeway.engine.model.handle import Model

PROMPT = [7, 31, 2, 19, 19, 0, 38]


@pytest.fixture(scope="module")
def model(transformer):
    return Model(transformer, None, "tiny", identity="tiny")


@pytest.fixture(scope="module")
def streamed(dictionary):
    configs = [dictionary.layer(layer).config for layer in dictionary.config.layers]
    return StreamedDictionaries(configs, dictionary.layer, 1)


@pytest.mark.slow
def test_streamed_dictionaries_are_read_and_edited_as_a_stack_is(model, dictionary, streamed):
    taps, edits = [cw.Tap("resid_post", "top_k", layers=[2], width=3)], [cw.FeatureEdit(0, 5, 2.0)]
    whole, other = (cw.run(model, [PROMPT], dictionary=d, taps=taps, edits=edits) for d in (dictionary, streamed))
    np.testing.assert_allclose(other.logits[0], whole.logits[0], atol=1e-5)
    np.testing.assert_array_equal(other.records[0][0].ids, whole.records[0][0].ids)
    a, b = (
        cw.generate(model, [PROMPT], dictionary=d, taps=taps, edits=edits, max_new_tokens=3, rows=2, temperature=0.0)
        for d in (dictionary, streamed)
    )
    np.testing.assert_array_equal(a[0].generation.tokens, b[0].generation.tokens)


@pytest.mark.slow
def test_skip_connections_of_all_layers_pass_changes_on_where_outputs_are_held(model, tiny, cases):
    stack = jax.tree.map(lambda a: a.astype(np.float32), cases.make_dictionary(tiny, "skip_mlp_in"))
    streamed = StreamedDictionaries([stack.layer(at).config for at in stack.config.layers], stack.layer, 1)
    push = cw.VectorEdit(0, np.ones(16), 3.0, "add", stream="attn_out")
    for edits in ([push], [push, cw.FeatureEdit(0, 5, 2.0)]):
        whole, other = (
            cw.run(model, [PROMPT], dictionary=d, edits=edits, holds=["mlp_out.1", "mlp_out.2"])
            for d in (stack, streamed)
        )
        np.testing.assert_array_equal(other.logits[0], whole.logits[0])


def test_only_the_layers_asked_for_are_held(model, dictionary, streamed, monkeypatch):
    asked = []
    monkeypatch.setattr(StreamedDictionaries, "stack_of", lambda self, *layers: asked.append(layers) or dictionary)
    cw.run(model, [PROMPT], dictionary=streamed, taps=[cw.Tap("resid_post", "all", layers=-1)])
    cw.run(model, [PROMPT], dictionary=streamed, taps=["resid_post"])
    assert asked == [(2,)]


def test_a_transcoder_that_crosses_layers_is_tapped(model, tiny, cases):
    crossing = jax.tree.map(lambda a: a.astype(np.float32), cases.make_dictionary(tiny, "cross_layer"))
    taps = [cw.Tap("mlp_in"), cw.Tap("mlp_in", "all"), cw.Tap("mlp_in", "selected", width=2, ids=np.array([3, 11]))]
    raw, every, some = (tap[0] for tap in cw.run(model, [PROMPT], dictionary=crossing, taps=taps).records)
    for layer in range(3):
        np.testing.assert_allclose(every.values[layer], crossing.encode_at(layer, raw.values[layer]), atol=1e-4)
    np.testing.assert_allclose(some.values, every.values[..., [3, 11]], atol=1e-4)
