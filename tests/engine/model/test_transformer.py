"""Shapes of the modules at the real sizes, without memory, and what a stack of blocks is."""

import jax
import numpy as np
import pytest

from causeway.engine.model.config import ModelConfig, Numerics, RopeScaling
from causeway.engine.model.transformer import abstract_transformer, layer

LLAMA3 = RopeScaling("llama3", 8.0, 1.0, 4.0, 8192)
PUBLISHED = {
    "Llama-3.1-8B": (
        ModelConfig(
            "llama", 32, 4096, 32, 8, 128, 14336, 128256, 131072, 1e-5, 500000.0, LLAMA3, tied_embeddings=False
        ),
        8_030_261_248,
    ),
    "Llama-3.2-1B": (
        ModelConfig("llama", 16, 2048, 32, 8, 64, 8192, 128256, 131072, 1e-5, 500000.0, LLAMA3, tied_embeddings=True),
        1_235_814_400,
    ),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_real_configurations_have_the_published_number_of_parameters(name):
    config, count = PUBLISHED[name]
    leaves = jax.tree.leaves(abstract_transformer(config, Numerics(storage="bfloat16")))
    assert sum(leaf.size for leaf in leaves) == count
    assert {str(leaf.dtype) for leaf in leaves} == {"bfloat16"}
    assert all(leaf.shape[0] == config.num_layers for leaf in leaves if leaf.ndim > 2)


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
