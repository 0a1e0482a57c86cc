"""Which parameters a configuration has, and what a stack of blocks is."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from causeway.engine.model.config import Numerics
from causeway.engine.model.joined_heads import join_heads, keys, queries, values
from causeway.engine.model.transformer import abstract_transformer, layer


def test_biases_and_an_unembedding_exist_only_where_configured(tiny):
    plain = jax.tree.leaves(abstract_transformer(tiny.CONFIG, Numerics()))
    full = tiny.make_transformer(attention_bias=True, mlp_bias=True, tied_embeddings=False)
    assert len(jax.tree.leaves(full)) == len(plain) + 2 + 3 + 1


def test_a_layer_is_a_slice_of_the_stack_also_when_traced(transformer):
    def same(a, b):
        return jax.tree.map(np.testing.assert_array_equal, a, b)

    direct = layer(transformer.blocks, 1)
    same(direct, jax.jit(layer)(transformer.blocks, 1))
    np.testing.assert_array_equal(direct.attention.query, transformer.blocks.attention.query[1])


@pytest.mark.parametrize("kv_heads", [1, 2, 4])
def test_one_product_makes_what_three_make(tiny, kv_heads):
    exact = Numerics("float64", "float64", "float64")
    with jax.enable_x64(True):
        transformer = tiny.make_transformer(exact, num_kv_heads=kv_heads, attention_bias=True)
        attention = layer(transformer.blocks, 1).attention
        x = jnp.asarray(np.random.default_rng(0).standard_normal((3, 5, tiny.CONFIG.d_model)))
        for name, found in zip(("query", "key", "value"), attention.project(x), strict=True):
            map_, bias = getattr(attention, name), getattr(attention, f"{name}_bias")
            np.testing.assert_allclose(found, np.einsum("btd,dhk->bthk", x, map_) + bias, rtol=1e-13, atol=1e-13)


def test_heads_are_joined_by_group_and_come_apart_again():
    rng = np.random.default_rng(0)
    query, key, value = (rng.standard_normal((3, 8, heads, 5)) for heads in (6, 2, 2))
    joined = join_heads(query, key, value)
    assert joined.shape == (3, 8, 2, 5, 5)
    for found, given in zip((queries(joined), keys(joined), values(joined)), (query, key, value), strict=True):
        np.testing.assert_array_equal(found, given.astype(found.dtype))
    np.testing.assert_array_equal(joined[:, :, 1, :3], query[:, :, 3:].astype(joined.dtype))
