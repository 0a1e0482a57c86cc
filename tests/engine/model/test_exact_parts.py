"""Products in parts are those of float32, and so are their derivatives."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from causeway.engine.model.config import Numerics
from causeway.engine.model.exact_parts import chosen, product
from causeway.engine.model.forward import next_token_logits
from causeway.engine.model.placement import numerics_of
from causeway.engine.model.transformer import layer
from causeway.engine.model.unrolled import unrolled

HALF = Numerics("bfloat16", "float32")
SHAPES = {
    "...d,dn->...n": ((5, 64), (64, 32)), "...hk,hkd->...d": ((5, 4, 16), (4, 16, 32)),
    "...d,dgrk->...grk": ((2, 5, 64), (64, 2, 3, 8)),
}  # fmt: skip


def drawn(equation):
    """A stream of sizes from 1e-6 to 1e6, and weights that 16 bits hold."""
    x, matrix = (np.random.default_rng(n).normal(size=shape) for n, shape in enumerate(SHAPES[equation]))
    x = x * 10.0 ** np.random.default_rng(2).integers(-6, 7, x.shape)
    return jnp.asarray(x, jnp.float32), jnp.asarray(matrix, jnp.bfloat16)


def close(found, exact, sizes):
    """Within four roundings of float32 of the sum of what is summed; products in float32 need two and a half."""
    assert found.dtype == jnp.float32
    assert (abs(np.asarray(found, np.float64) - exact) <= 4 * np.finfo(np.float32).eps * sizes).all()


@pytest.mark.parametrize("equation", SHAPES)
def test_nothing_is_lost(equation):
    x, matrix = drawn(equation)
    wide = np.asarray(x, np.float64), np.asarray(matrix, np.float64)
    sizes = np.einsum(equation, *map(abs, wide))
    close(jax.jit(product, static_argnums=0)(equation, x, matrix), np.einsum(equation, *wide), sizes)


@pytest.mark.parametrize("equation", SHAPES)
def test_the_way_back_is_that_of_float32(equation):
    x, matrix = drawn(equation)
    gs = jax.random.normal(jax.random.key(0), (3, *jax.eval_shape(lambda: product(equation, x, matrix)).shape))
    back = jax.vjp(lambda x, m: product(equation, x, m), x, matrix)[1]
    plain = jax.vjp(lambda x, m: jnp.einsum(equation, x, m.astype(x.dtype)), x, matrix)[1]
    # Many at a time as pathways take them, in the dtypes of what is differentiated.
    for found, expected in zip(jax.jit(jax.vmap(back))(gs), jax.vmap(plain)(gs), strict=True):
        assert found.dtype == expected.dtype
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5 * float(abs(expected).max()))


def test_a_model_in_parts_says_what_it_says_in_float32(tiny):
    plain, parts = (tiny.make_transformer(numerics) for numerics in (HALF, chosen(HALF, "gpu")))
    found, expected = (next_token_logits(one, tiny.PROMPT[None]) for one in (parts, plain))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    taken = jax.jit(layer)(unrolled(parts).blocks, jnp.int32(1))
    assert {leaf.dtype for leaf in jax.tree.leaves(taken)} == {jnp.dtype("bfloat16")}


def test_who_takes_parts(transformer):
    assert chosen(HALF, "gpu").in_parts
    assert not chosen(HALF, "cpu").in_parts
    others = [Numerics(), Numerics("bfloat16", "bfloat16"), Numerics("int8"), Numerics("float16")]
    assert not any(chosen(numerics, "gpu").in_parts for numerics in others)
    assert "in_parts" not in numerics_of(transformer)
    assert dataclasses.replace(HALF, in_parts=True) == chosen(HALF, "gpu")
