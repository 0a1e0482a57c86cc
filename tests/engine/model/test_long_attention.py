"""Attention without patterns is attention with them: windows, caps, groups, derivatives; and what memory it takes."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from causeway.engine.intervention.instruments import Instruments
from causeway.engine.intervention.taps import TapSpec, bind_tap
from causeway.engine.model import forward
from causeway.engine.model.attention import attend_sequence, causal_mask
from causeway.engine.model.config import ModelConfig, Numerics
from causeway.engine.model.long_attention import attend_long, in_blocks

B, H, G, K = 2, 4, 2, 4
CONFIG = ModelConfig("llama", 1, H * K, H, G, K, d_ff=8, vocab_size=8, max_position=64)
DOUBLE = Numerics("float64", "float64", "float64")
blocks = jax.jit(in_blocks, static_argnums=(0, 1, 2))
long = jax.jit(attend_long, static_argnums=(4, 5))


def draw(tokens, seed=0):
    rng = np.random.default_rng(seed)
    return tuple(rng.standard_normal((B, tokens, heads, K)) for heads in (H, G, G))


@partial(jax.jit, static_argnums=(4, 5))
def plain(q, k, v, window, config, numerics):
    return attend_sequence(q, k, v, causal_mask(q.shape[1], window), config, numerics)


@pytest.mark.parametrize(
    ("tokens", "size", "windows", "changes"),
    [
        (16, 8, (None,), {}),
        (5, 8, (None,), {"attention_softcap": 2.0, "query_scale": 0.7}),
        (19, 4, (1, 3, 5, 64), {"attention_softcap": 2.0}),
    ],
)
def test_blocks_give_what_patterns_give(tokens, size, windows, changes):
    config = dataclasses.replace(CONFIG, **changes)
    for window in windows:
        with jax.enable_x64(True):
            found = blocks(config, DOUBLE, size, *draw(tokens), window)
            np.testing.assert_allclose(found, plain(*draw(tokens), window, config, DOUBLE), atol=1e-12)


def test_a_token_sees_none_after_it_be_they_numbers_or_not():
    q, k, v = (a.astype(np.float32) for a in draw(20))
    clean = blocks(CONFIG, Numerics(), 8, q, k, v, None)
    k[:, 13:], v[:, 16:] = np.inf, np.nan
    np.testing.assert_array_equal(blocks(CONFIG, Numerics(), 8, q, k, v, None)[:, :13], clean[:, :13])


def test_a_row_has_the_same_bits_beside_any_other():
    q, k, v = (a.astype(np.float32) for a in draw(20))
    clean = blocks(CONFIG, Numerics(), 8, q, k, v, None)
    for a in (q, k, v):
        a[1] = np.nan
    np.testing.assert_array_equal(blocks(CONFIG, Numerics(), 8, q, k, v, None)[0], clean[0])
    turned = blocks(CONFIG, Numerics(), 8, *(a[::-1] for a in (q, k, v)), None)
    np.testing.assert_array_equal(turned[1], clean[0])


def test_16_bit_operands_are_summed_in_32():
    numerics = Numerics("bfloat16", "bfloat16")
    q, k, v = (jnp.asarray(a, jnp.bfloat16) for a in draw(20))
    found = blocks(CONFIG, numerics, 8, q, k, v, None)
    assert found.dtype == jnp.bfloat16
    wide = plain(*(a.astype(np.float32) for a in (q, k, v)), None, CONFIG, Numerics())
    np.testing.assert_allclose(found.astype(np.float32), wide, atol=0.02)


def test_derivatives_are_those_of_patterns():
    """Forwards and backwards."""

    def slopes(attend):
        def total(q, k, v):
            return jnp.sum(jnp.sin(attend(q, k, v, np.int32(7), CONFIG, DOUBLE)))

        return jax.jit(jax.grad(total, argnums=(0, 1, 2)))(*draw(8)), jax.jit(partial(jax.jvp, total))(
            draw(8), draw(8, 1)
        )

    with jax.enable_x64(True):
        jax.tree.map(partial(np.testing.assert_allclose, atol=1e-12), slopes(attend_long), slopes(plain))


def test_memory_grows_with_the_tokens_and_not_with_their_square():
    def temporaries(tokens):
        shapes = [jax.ShapeDtypeStruct((1, tokens, heads, K), np.float32) for heads in (H, G, G)]
        return long.lower(*shapes, None, CONFIG, Numerics()).compile().memory_analysis().temp_size_in_bytes

    assert temporaries(8192) < 3 * temporaries(4096)
    assert temporaries(8192) < 8192**2


def test_a_pass_forms_patterns_where_they_are_asked_for(monkeypatch, transformer):
    """A long pass and the same pass with a tap of its patterns, which makes it form them, agree."""
    monkeypatch.setattr(forward, "LONG", 8)
    tokens = np.random.default_rng(0).integers(0, transformer.config.vocab_size, (2, 12))
    lengths = np.array([12, 9])
    tap = bind_tap(TapSpec("attn_pattern", "raw", (0,)), None)
    program = jax.jit(forward.causal_pass)
    found, formed = (program(transformer, tokens, Instruments(taps=taps), lengths) for taps in ((), (tap,)))
    real = np.arange(12) < lengths[:, None]
    np.testing.assert_allclose(found.logits[real], formed.logits[real], atol=1e-5)
    assert not np.array_equal(found.logits[real], formed.logits[real])
    assert formed.records[0].values.shape[-1] == 12
