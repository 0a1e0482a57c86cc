"""Every implementation gives what a softmax over joined keys gives."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from causeway.kernels.decode_attention import RowKeys, SharedKeys, decode_attention, in_place

G, B, K = 2, 3, 8


def in_place_attention(q, own, pieces, *, scale, cap=0.0, dtype=jnp.float32):
    """The form of accelerators, which `implementation="xla"` is not on a CPU."""
    return in_place.attend(q, own, pieces, scale, cap, dtype)


IMPLEMENTATIONS = {
    "xla": decode_attention,
    "xla on accelerators": in_place_attention,
    "pallas": partial(decode_attention, implementation="pallas"),
}
each_implementation = pytest.mark.parametrize("implementation", IMPLEMENTATIONS)


def drawn(m, sizes, dtype, seed=0):
    """Queries, own key and value, and pieces: (shared?, tokens, mask of each query?)."""
    rng = np.random.default_rng(seed)
    normal = lambda *shape: jnp.asarray(rng.standard_normal(shape), dtype)  # noqa: E731
    own = tuple(jnp.repeat(normal(G, B, 1, K), m, axis=2) for _ in range(2))
    pieces = []
    for shared, s, by_query in sizes:
        mask = jnp.asarray(rng.random((m, s) if by_query else s) < 0.7)
        if shared:
            pieces.append(SharedKeys(normal(G, K, s), normal(G, s, K), mask))
        else:
            pieces.append(RowKeys(normal(G, B, s, K), normal(G, B, s, K), mask))
    return normal(G, B, m, K) * 3, own, tuple(pieces)


def joined(q, own, pieces, scale, cap):
    """One softmax a query, over its keys side by side, in float64."""
    q, key, value = (np.asarray(each, np.float64) for each in (q, *own))
    z = np.zeros(q.shape)
    for g, b, m in np.ndindex(q.shape[:3]):
        keys, values = [key[g, b, m][None]], [value[g, b, m][None]]
        for piece in pieces:
            k, v = np.asarray(piece.keys, np.float64)[g], np.asarray(piece.values, np.float64)[g]
            k, v = (k.T, v) if isinstance(piece, SharedKeys) else (k[b], v[b])
            seen = np.broadcast_to(piece.mask, (q.shape[2], len(k)))[m]
            keys.append(k[seen]), values.append(v[seen])
        scores = np.concatenate(keys) @ q[g, b, m] * scale
        scores = cap * np.tanh(scores / cap) if cap else scores
        weights = np.exp(scores - scores.max())
        z[g, b, m] = weights @ np.concatenate(values) / weights.sum()
    return z


PIECES = {
    "a prefix and a segment": [(True, 70, False), (False, 19, False)],
    "masks of each query": [(False, 5, True), (True, 3, True), (False, 16, False)],
    "two prefixes and segments of other lengths": [
        (True, 8, True),
        (True, 3, False),
        (False, 33, False),
        (False, 16, True),
    ],
    "nothing before": [],
    "an empty piece": [(True, 0, False), (False, 4, False)],
}


@each_implementation
@pytest.mark.parametrize("pieces", PIECES)
@pytest.mark.parametrize(("m", "cap", "dtype"), [(1, 0.0, "float32"), (3, 2.0, "float32"), (4, 0.0, "bfloat16")])
def test_head_outputs_are_those_of_joined_keys(implementation, pieces, m, cap, dtype):
    q, own, pieces = drawn(m, PIECES[pieces], dtype)
    attend = jax.jit(IMPLEMENTATIONS[implementation], static_argnames=("scale", "cap"))
    found = attend(q, own, pieces, scale=0.4, cap=cap)
    assert found.dtype == dtype
    tolerance = 1e-5 if dtype == "float32" else 2e-2
    np.testing.assert_allclose(found.astype(jnp.float32), joined(q, own, pieces, 0.4, cap), atol=tolerance)


@each_implementation
def test_a_row_that_is_not_finite_keeps_to_itself(implementation):
    q, own, pieces = drawn(2, [(True, 5, False), (False, 6, False)], "float32")
    attend = partial(IMPLEMENTATIONS[implementation], scale=1.0)
    clean, broken = attend(q, own, pieces), attend(q.at[:, 1].set(jnp.nan), own, pieces)
    assert np.isnan(broken[:, 1]).all()
    np.testing.assert_array_equal(np.delete(broken, 1, axis=1), np.delete(clean, 1, axis=1))


@each_implementation
def test_where_nothing_is_seen_the_own_value_stays(implementation):
    q, own, pieces = drawn(2, [(True, 40, False), (False, 20, True)], "float32")
    hidden = jax.tree.map(lambda a: jnp.zeros_like(a) if a.dtype == bool else a, pieces)
    found = IMPLEMENTATIONS[implementation](q, own, hidden, scale=1.0)
    np.testing.assert_allclose(found, own[1], rtol=1e-6)


def test_changed_weights_are_refused_where_none_are_formed():
    q, own, pieces = drawn(1, [(True, 4, False)], "float32")
    with pytest.raises(ValueError, match="change: the pallas implementation forms no weights"):
        decode_attention(q, own, pieces, scale=1.0, change=lambda w, _: w, implementation="pallas")
