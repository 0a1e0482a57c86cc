"""Attention against loops over heads and positions; a cache in pieces is the same attention."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from causeway.engine.model.attention import RowKeys, SharedKeys, attend_pieces, attend_sequence
from causeway.engine.model.config import ModelConfig, Numerics

B, T, H, G, K = 2, 6, 4, 2, 4
CONFIG = ModelConfig("llama", 1, H * K, H, G, K, d_ff=8, vocab_size=8, max_position=16)
DOUBLE = Numerics("float64", "float64", "float64")


@functools.partial(jax.jit, static_argnums=(4, 5))
def sequence(q, k, v, mask, config, numerics):
    """Head outputs, and the patterns that they are made of."""
    seen = []
    z = attend_sequence(q, k, v, mask, config, numerics, lambda _, pattern: seen.append(pattern) or pattern)
    return z, seen[0]


by_pieces = jax.jit(attend_pieces, static_argnums=(3, 4))
CAUSAL = np.tril(np.ones((T, T), bool))


def draw(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


@pytest.fixture
def qkv():
    return draw(B, T, H, K, seed=1), draw(B, T, G, K, seed=2), draw(B, T, G, K, seed=3)


def test_a_sequence_equals_loops_over_heads_and_positions(plain, qkv):
    with jax.enable_x64(True):
        z, pattern = sequence(*qkv, CAUSAL, CONFIG, DOUBLE)
    for b in range(B):
        expected = plain.attention(*(a[b] for a in qkv))
        np.testing.assert_allclose(z[b], expected[0], atol=1e-13)
        np.testing.assert_allclose(pattern[b], expected[1], atol=1e-13)


def test_grouped_queries_equal_repeated_keys_and_values(qkv):
    q, k, v = (a.astype(np.float32) for a in qkv)
    z, pattern = sequence(q, k, v, CAUSAL, CONFIG, Numerics())
    full = sequence(q, *(np.repeat(a, H // G, axis=2) for a in (k, v)), CAUSAL, CONFIG, Numerics())
    np.testing.assert_allclose(z, full[0], atol=1e-6)
    np.testing.assert_allclose(pattern, full[1], atol=1e-6)


def pieces_of(k, v, prefix, pad=0.0):
    """The first `prefix` keys of row 0 shared, the rest each row's own; both padded by masked entries."""

    def padded(a, axis, before, after):
        widths = [(before, after) if i == axis else (0, 0) for i in range(a.ndim)]
        return np.pad(a, widths, constant_values=pad)

    keys, values = np.einsum("sgk->gks", k[0, :prefix]), np.einsum("sgk->gsk", v[0, :prefix])
    shared = SharedKeys(padded(keys, 2, 0, 3), padded(values, 1, 0, 3), np.arange(prefix + 3) < prefix)
    own = [padded(np.einsum("bsgk->gbsk", a[:, prefix:-1]), 2, 2, 1) for a in (k, v)]
    steps = np.arange(own[0].shape[2])
    return shared, RowKeys(*own, (steps >= 2) & (steps < T - 1 - prefix + 2))


def last_query(q, k, v, numerics, prefix, pad=0.0):
    """The last token's head outputs [B, H, K] from a cache in two pieces."""
    m = H // G
    grouped = np.einsum("bgmk->gbmk", q[:, -1].reshape(B, G, m, K))
    own = tuple(np.repeat(np.einsum("bgk->gbk", a[:, -1])[:, :, None], m, axis=2) for a in (k, v))
    z = by_pieces(grouped, own, pieces_of(k, v, prefix, pad), CONFIG, numerics)
    return np.einsum("gbmk->bgmk", z).reshape(B, H, K)


@pytest.fixture
def shared_qkv(qkv):
    """Keys and values whose first three positions are the same in all rows."""
    q, k, v = (a.copy() for a in qkv)
    k[:, :3], v[:, :3] = k[0, :3], v[0, :3]
    return q, k, v


def test_pieces_equal_the_joined_sequence(plain, shared_qkv):
    with jax.enable_x64(True):
        z = last_query(*shared_qkv, DOUBLE, prefix=3)
    for b in range(B):
        np.testing.assert_allclose(z[b], plain.attention(*(a[b] for a in shared_qkv))[0][-1], atol=1e-13)


def test_what_a_mask_hides_does_not_change_a_bit(shared_qkv):
    q, k, v = (a.astype(np.float32) for a in shared_qkv)
    clean, full = (last_query(q, k, v, Numerics(), 3, pad) for pad in (0.0, 1e6))
    np.testing.assert_array_equal(clean, full)


def test_a_token_alone_attends_to_itself():
    q, k, v = (draw(G, B, 1, K, seed=s).astype(np.float32) for s in range(3))
    nothing = SharedKeys(np.zeros((G, K, 8), np.float32), np.zeros((G, 8, K), np.float32), np.zeros(8, bool))
    np.testing.assert_allclose(by_pieces(q, (k, v), (nothing,), CONFIG, Numerics()), v, atol=1e-7)


def test_a_visible_mask_may_differ_between_queries():
    """Two queries of a group: one sees the first of two keys, the other the second."""
    q, k, v = (draw(1, 1, 2, K, seed=s).astype(np.float32) for s in range(3))
    keys, values = (draw(1, 1, 2, K, seed=s).astype(np.float32) for s in (5, 6))
    both = by_pieces(q, (k, v), (RowKeys(keys, values, np.eye(2, dtype=bool)),), CONFIG, Numerics())
    for m in range(2):
        one = RowKeys(keys[:, :, m : m + 1], values[:, :, m : m + 1], np.ones(1, bool))
        alone = by_pieces(q[:, :, m : m + 1], (k[:, :, m : m + 1], v[:, :, m : m + 1]), (one,), CONFIG, Numerics())
        np.testing.assert_allclose(both[:, :, m], alone[:, :, 0], atol=1e-6)


def test_products_of_16_bit_operands_are_summed_in_32(plain, shared_qkv):
    """Exact products of bfloat16 numbers fit float32: what is left is the rounding of weights and results."""
    q, k, v = (a.astype(jnp.bfloat16) for a in shared_qkv)
    numerics = Numerics("bfloat16", "bfloat16", "float32")
    z, pattern = sequence(q, k, v, CAUSAL, CONFIG, numerics)
    assert z.dtype == jnp.bfloat16
    assert pattern.dtype == jnp.float32
    for b in range(B):
        expected = plain.attention(*(np.asarray(a[b], np.float64) for a in (q, k, v)))
        np.testing.assert_allclose(pattern[b], expected[1], atol=1e-6)
        np.testing.assert_allclose(np.asarray(z[b], np.float64), expected[0], atol=0.02)


def test_one_pattern_serves_all_rows(qkv):
    """A pattern without a row axis of its own is that of every row."""
    with jax.enable_x64(True):
        _, pattern = sequence(*qkv, CAUSAL, CONFIG, DOUBLE)
        given = attend_sequence(*qkv, CAUSAL, CONFIG, DOUBLE, lambda _, own: pattern[:1])
        expected = np.einsum("hts,bshk->bthk", pattern[0], np.repeat(qkv[2], H // G, axis=2))
    np.testing.assert_allclose(given, expected, atol=1e-13)
