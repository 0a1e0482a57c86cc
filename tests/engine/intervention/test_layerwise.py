import jax
import jax.numpy as jnp
import numpy as np
import pytest

from causeway.engine.dictionary.dictionary import take
from causeway.engine.dictionary.placement import StreamedDictionaries
from causeway.engine.intervention.instruments import Instruments
from causeway.engine.intervention.layerwise import _read, read_layerwise
from causeway.engine.intervention.taps import TapSpec, bind_tap
from causeway.engine.model.forward import run
from tests.engine import tiny

TOKENS = jnp.array([tiny.PROMPT, tiny.PROMPT[::-1]])
LENGTHS = jnp.array([9, 5])
RAW = TapSpec("resid_post", "raw", (0, 1, 2))


def streamed(stack, resident=2):
    config = stack.config
    singles = [take(stack, index) for index in range(len(config.layers))]
    configs = [type(config)(config.kind, (layer,), config.stream, config.k) for layer in config.layers]
    return StreamedDictionaries(configs, lambda layer: singles[config.layers.index(layer)], resident)


@pytest.mark.parametrize(
    ("kind", "reader", "layers"),
    [
        ("jumprelu", "all", (0, 2)),
        ("jumprelu", "selected", (2, 0)),
        ("gated", "top_k", (2,)),
        ("topk", "selected", (0, 2)),
        ("topk", "top_k", (2, 0)),
    ],
)
def test_equals_a_tap_inside_the_pass(kind, reader, layers):
    transformer, stack = tiny.make_transformer(), tiny.make_dictionary(kind)
    spec = TapSpec("resid_post", reader, layers, {"all": 0, "selected": 3, "top_k": 4}[reader])
    ids = np.array([[1, 5, 20], [3, 3, 0]])[: len(layers)] if reader == "selected" else None
    taps = (bind_tap(RAW, None), bind_tap(spec, stack, ids))
    raw, inside = run(transformer, TOKENS, Instruments(taps=taps), LENGTHS).records
    for dictionaries in (stack, streamed(stack)):
        after = read_layerwise(jax.device_get(raw), RAW, spec, dictionaries, ids)
        np.testing.assert_allclose(after.values, inside.values, atol=1e-5)
        np.testing.assert_array_equal(after.valid, inside.valid)
        if reader == "top_k":
            valid = np.asarray(inside.valid)
            np.testing.assert_array_equal(after.ids[:, valid], inside.ids[:, valid])


def test_one_program_reads_all_layers():
    transformer, stack = tiny.make_transformer(), tiny.make_dictionary()
    raw = run(transformer, TOKENS, Instruments(taps=(bind_tap(RAW, None),))).records[0]
    _read.clear_cache()
    read_layerwise(raw, RAW, TapSpec("resid_post", "all", (0, 2)), streamed(stack))
    assert _read._cache_size() == 1


@pytest.mark.parametrize(
    ("recorded", "spec", "message"),
    [
        (TapSpec("resid_post", "all", (0,)), TapSpec("resid_post", "all", (0,)), "recorded: a all tap"),
        (TapSpec("resid_mid", "raw", (0,)), TapSpec("resid_post", "all", (0,)), "needs a raw tap of resid_post"),
        (RAW, TapSpec("resid_post", "raw", (0,)), "reader 'raw' reads no dictionary"),
        (TapSpec("resid_post", "raw", (0,)), TapSpec("resid_post", "all", (0, 2)), r"\[2\] were not recorded"),
        (RAW, TapSpec("resid_post", "all", (1,)), "layer 1 has no dictionary"),
    ],
)
def test_what_does_not_belong_together_is_refused(recorded, spec, message):
    stack = tiny.make_dictionary()
    raw = run(tiny.make_transformer(), TOKENS, Instruments(taps=(bind_tap(RAW, None),))).records[0]
    with pytest.raises(ValueError, match=message):
        read_layerwise(raw, recorded, spec, streamed(stack))
