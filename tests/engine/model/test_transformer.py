"""Which parameters a configuration has, and what a stack of blocks is."""

import jax
import numpy as np

from causeway.engine.model.config import Numerics
from causeway.engine.model.transformer import abstract_transformer, layer


def test_biases_and_an_unembedding_exist_only_where_configured(tiny):
    plain = jax.tree.leaves(abstract_transformer(tiny.CONFIG, Numerics()))
    full = tiny.make_transformer(attention_bias=True, mlp_bias=True, tied_embeddings=False)
    assert len(jax.tree.leaves(full)) == len(plain) + 4 + 3 + 1


def test_a_layer_is_a_slice_of_the_stack_also_when_traced(transformer):
    def same(a, b):
        return jax.tree.map(np.testing.assert_array_equal, a, b)

    direct = layer(transformer.blocks, 1)
    same(direct, jax.jit(layer)(transformer.blocks, 1))
    np.testing.assert_array_equal(direct.attention.query[...], transformer.blocks.attention.query[...][1])
