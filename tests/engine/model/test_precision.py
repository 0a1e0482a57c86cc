"""Storage, compute and accumulation dtypes are three separate choices."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from causeway.engine.intervention.instruments import Instruments
from causeway.engine.intervention.taps import TapSpec, bind_tap
from causeway.engine.model.config import Numerics
from causeway.engine.model.forward import next_token_logits, run

STREAMS = ("attn_pattern", "mlp_norm", "resid_post", "final_norm")


def test_stored_16_bit_weights_computed_in_32_are_the_rounded_weights(tiny, transformer):
    stored = tiny.make_transformer(Numerics(storage="bfloat16"))
    rounded = jax.tree.map(lambda a: a.astype(jnp.bfloat16).astype(jnp.float32), transformer)
    tokens = tiny.PROMPT[None]
    np.testing.assert_array_equal(next_token_logits(stored, tokens), next_token_logits(rounded, tokens))


@pytest.fixture(scope="module")
def half(tiny):
    """A model stored and computed in bfloat16 and summed in float32, and its pass with four streams read."""
    transformer = tiny.make_transformer(Numerics("bfloat16", "bfloat16", "float32"))
    count = tiny.CONFIG.num_layers
    taps = tuple(bind_tap(TapSpec(s, "raw", (count,) if s == "final_norm" else (0, 1, 2)), None) for s in STREAMS)
    return transformer, run(transformer, tiny.PROMPT[None], Instruments((), taps))


def test_the_residual_stream_is_in_the_compute_dtype_and_sums_are_not(half):
    transformer, out = half
    assert {leaf.dtype for leaf in jax.tree.leaves(transformer)} == {jnp.dtype(jnp.bfloat16)}
    dtypes = dict(zip(STREAMS, (r.values.dtype for r in out.records), strict=True))
    assert dtypes == {
        "attn_pattern": jnp.float32, "mlp_norm": jnp.float32, "resid_post": jnp.bfloat16, "final_norm": jnp.bfloat16,
    }  # fmt: skip
    assert out.logits.dtype == jnp.float32


def test_logits_of_a_16_bit_model_are_summed_in_32(half):
    transformer, out = half
    final = np.asarray(out.records[-1].values[0, 0], np.float64)
    expected = final @ np.asarray(transformer.embedding[...], np.float64).T
    np.testing.assert_allclose(out.logits[0], expected, atol=1e-5)
    np.testing.assert_allclose(out.records[0].values.sum(axis=-1), 1, atol=1e-6)


def test_a_16_bit_model_is_near_the_32_bit_one(half, tiny, transformer):
    error = np.abs(half[1].logits - next_token_logits(transformer, tiny.PROMPT[None]))
    assert 1e-4 < error.mean() < 0.05
    assert error.max() < 0.3
