"""Features of prompts against a plain loop: one prompt, one layer, one token at a time."""

import numpy as np
import pytest

from causeway.engine.analyses.features.extract import extract_features, samples_of
from causeway.engine.analyses.features.positions import Positions
from causeway.engine.dictionary.config import DictionaryConfig
from causeway.engine.dictionary.cross_layer import CrossLayerTranscoder
from causeway.engine.intervention.instruments import Instruments
from causeway.engine.intervention.taps import TapSpec, bind_tap
from causeway.engine.model.forward import run

LENGTHS = (9, 2, 20, 9, 20)
K = 6


@pytest.fixture(scope="module")
def prompts():
    rng = np.random.default_rng(0)
    return [rng.integers(0, 40, length).tolist() for length in LENGTHS]


def encoded(transformer, dictionary, prompt):
    """Layer -> features [T, F] of one prompt run alone."""
    config = dictionary.config
    tap = bind_tap(TapSpec(config.stream, "raw", config.layers), None)
    # Behind a causal model's prompt anything may stand: one length is one program.
    tokens = np.zeros((1, max(LENGTHS)), np.int32)
    tokens[0, : len(prompt)] = prompt
    values = run(transformer, tokens, Instruments(taps=(tap,))).records[0].values[:, 0]
    values = np.asarray(values).reshape(len(config.layers), max(LENGTHS), -1)
    return {
        layer: np.asarray(dictionary.encode_at(layer, values[i]))[: len(prompt)]
        for i, layer in enumerate(config.layers)
    }


def crossing(tiny):
    one = tiny.make_dictionary("relu", layers=(0, 1, 2), stream="mlp_in")
    rows = tuple(np.asarray(one.W_dec[...])[i][:, None].repeat(3 - i, axis=1) for i in range(3))
    config = DictionaryConfig("relu", (0, 1, 2), "mlp_in", write_stream="mlp_out")
    return CrossLayerTranscoder(config, W_enc=one.W_enc[...], b_enc=one.b_enc[...], W_dec=rows, b_dec=one.b_dec[...])


CASES = {
    "sae": (lambda tiny: tiny.make_dictionary(), Positions(5)),
    "transcoder": (
        lambda tiny: tiny.make_dictionary("relu", layers=(1, 2), stream="mlp_in", write_stream="mlp_out"),
        Positions(None),
    ),
    "heads": (lambda tiny: tiny.make_dictionary("topk", layers=(1,), stream="head_out"), Positions(3, first=0)),
    "cross-layer": (crossing, Positions(5)),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_equal_to_a_plain_loop(tiny, transformer, prompts, case):
    make, positions = CASES[case]
    dictionary = make(tiny)
    rows = [positions.row(prompt) for prompt in prompts]
    samples = len(samples_of(rows))
    full = {
        layer: np.full((samples, dictionary.num_features), np.nan, np.float32) for layer in dictionary.config.layers
    }
    found = extract_features(transformer, dictionary, rows, slots=positions.slots, top_k=K, batch_rows=2, full=full)
    plain = [encoded(transformer, dictionary, prompt) for prompt in prompts]
    assert [f.layer for f in found] == list(dictionary.config.layers)
    for layer in found:
        chosen = [p[layer.layer][max(positions.first, len(p[layer.layer]) - (positions.last or 99)) :] for p in plain]
        together = np.concatenate(chosen)
        np.testing.assert_allclose(full[layer.layer], together, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(layer.values, -np.sort(-together, axis=1)[:, :K], rtol=1e-4, atol=1e-5)
        np.testing.assert_array_equal(np.take_along_axis(full[layer.layer], layer.ids, 1), layer.values)
        on = [c != 0 for c in chosen]
        np.testing.assert_allclose(layer.any, np.mean([o.any(0) for o in on], axis=0), atol=1e-6)
        np.testing.assert_allclose(layer.mean, np.mean([o.mean(0) for o in on], axis=0), atol=1e-6)
        np.testing.assert_allclose(layer.strength, np.mean([c.mean(0) for c in chosen], axis=0), rtol=1e-4, atol=1e-5)
        np.testing.assert_array_equal(layer.active_any, [o.any(0).sum() for o in on])
        np.testing.assert_allclose(layer.active_mean, [o.sum(1).mean() for o in on], rtol=1e-6)


def test_bad_input_is_refused(tiny, transformer, dictionary, refuses):
    with refuses("1 tokens, none of which counts from position 1 on"):
        Positions().row([3])
    with refuses("prompt 1: 65 tokens"):
        extract_features(transformer, dictionary, [Positions().row([1] * 65)], top_k=2)
    with refuses("prompt 1: ids 1 to 40"):
        extract_features(transformer, dictionary, [Positions().row([1, 40])], top_k=2)
    with refuses("top_k: got 25"):
        extract_features(transformer, dictionary, [Positions().row([1, 2])], top_k=25)
    with refuses("prompts: got none"):
        extract_features(transformer, dictionary, [], top_k=2)
    with refuses("d_in is 16, but mlp_act of this model has width 24"):
        extract_features(transformer, tiny.make_dictionary(stream="mlp_act"), [Positions().row([1, 2])], top_k=2)
    with refuses("positions: cannot read the position 'user'"):
        Positions(places="user").row([1, 2])
    with refuses("positions: '5' is outside a prompt of 2 tokens"):
        Positions(places="5").row([1, 2])
    assert Positions(places="-1,0").row([1, 2, 3]).places == [0, 2]
    with refuses("the last 0 tokens"):
        Positions(0)
