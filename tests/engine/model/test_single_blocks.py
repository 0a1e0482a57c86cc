"""Blocks of their own, as models are kept off the CPU, give what a stack of them gives; forced here by `unrolled`."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import causeway as cw
from causeway.engine import memory
from causeway.engine.analyses.inspect.account import model_account
from causeway.engine.model.block import apply_block
from causeway.engine.model.capacity import check_fits, loading_bytes, weight_bytes
from causeway.engine.model.config import Numerics
from causeway.engine.model.transformer import layer, scan_layers
from causeway.engine.model.unrolled import given_up, joined, unrolled

PROMPTS = ["44+95=", "1+2="]
FEATURE = {"layer": 2, "feature": 121, "value_high": 14.0}


@pytest.fixture(scope="module")
def models():
    stacked = cw.load_model("bundled:tiny")
    return dataclasses.replace(stacked, transformer=unrolled(stacked.transformer)), stacked


def alike(found, expected):
    jax.tree.map(lambda one, other: np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5), found, expected)


def test_a_block_at_a_traced_place_is_that_block(models):
    blocks = models[0].transformer.blocks
    taken = jax.jit(layer)
    for index in range(len(blocks)):
        jax.tree.map(np.testing.assert_array_equal, taken(blocks, jnp.int32(index)), blocks[index])


def test_a_block_at_a_traced_place_is_in_the_dtype_of_products():
    """Converted as it is taken, no number changes; one that the dtype does not hold stays as it is."""
    blocks = cw.load_model("bundled:tiny", storage="bfloat16").transformer.blocks
    single = tuple(jax.tree.map(lambda a, at=at: a[at], blocks) for at in range(2))
    found = jax.jit(layer)(single, jnp.int32(1))
    assert {leaf.dtype for leaf in jax.tree.leaves(found)} == {jnp.dtype("float32")}
    jax.tree.map(np.testing.assert_array_equal, found, jax.tree.map(lambda a: a.astype("float32"), single[1]))


@pytest.mark.slow
def test_no_derivative_keeps_the_blocks(models):
    """Stacked for the way back they would be a second copy of the weights."""
    single, stacked = (model.transformer for model in models)
    pushed = jnp.zeros((1, 4, single.config.d_model))

    def loss(transformer, push):
        def body(x, scanned):
            block, index = scanned
            return apply_block(block, index, x, jnp.arange(4)[None], single.config, lambda q, k, v: q), None

        x = transformer.embed(jnp.arange(4)[None], jnp.arange(4)[None]) + push
        return jnp.sum(scan_layers(body, x, transformer.blocks)[0] ** 2)

    gradient = jax.grad(loss, argnums=1)
    weights = {(single.config.num_layers, *leaf.shape) for leaf in jax.tree.leaves(single.blocks[0]) if leaf.ndim > 1}
    made = _made(jax.make_jaxpr(gradient)(single, pushed).jaxpr)
    assert (single.config.num_layers, *pushed.shape) in made
    assert not made & weights
    alike(gradient(single, pushed), gradient(stacked, pushed))


def _made(jaxpr):
    """Shapes of all results, loops and calls included."""
    inner = [_made(one) for equation in jaxpr.eqns for one in jax.core.jaxprs_in_params(equation.params)]
    return {v.aval.shape for equation in jaxpr.eqns for v in equation.outvars}.union(*inner)


def test_runs_are_the_same(models):
    found = [cw.run(model, PROMPTS, taps=["resid_post", "attn_pattern"]) for model in models]
    alike(*[(one.logits, one["resid_post"], one["attn_pattern"]) for one in found])


@pytest.mark.slow
@pytest.mark.parametrize("start", ["last_prompt", "all"])
def test_generated_tokens_and_records_are_the_same(models, start):
    """With an edit of all tokens the prompt's are fed to the rows, without they are run at once."""
    saes = cw.load_dictionaries("bundled:tiny", for_model=models[1])
    edit = cw.FeatureEdit(2, 121, 14.0, scope=start)
    taps = cw.Tap("resid_post", "top_k", width=5)
    given = {"dictionary": saes, "edits": [edit], "taps": taps, "max_new_tokens": 6, "seed": 3}
    one, other = (cw.generate(model, PROMPTS[:1], **given)[0] for model in models)
    assert one.texts == other.texts
    alike(one["resid_post"], other["resid_post"])


@pytest.mark.slow
def test_exact_sweeps_are_the_same(models):
    saes = cw.load_dictionaries("bundled:tiny", for_model=models[1])
    given = {"features": [FEATURE], "answers": {"nine": "9", "eight": "8"}, "split": False, "rows": 8}
    groups = {"a": ["44+95=13"], "b": ["44+94=13"]}
    one, other = (cw.patch_sweep(model, groups, saes, **given)["effect"].to_numpy() for model in models)
    assert np.abs(other).max() > 1e-3
    alike(one, other)


@pytest.mark.slow
def test_graphs_are_the_same(models):
    transcoders = cw.load_dictionaries("bundled:tiny/transcoders", for_model=models[1])
    one, other = (cw.attribute(model, PROMPTS[0], transcoders, max_feature_nodes=50) for model in models)
    np.testing.assert_allclose(one.edges.toarray(), other.edges.toarray(), rtol=1e-4, atol=1e-5)


def test_a_stack_that_is_given_up_leaves_its_numbers_in_single_blocks(tiny):
    stacked = tiny.make_transformer()
    arrays, expected = jax.tree.leaves(stacked.blocks), jax.device_get(stacked)
    found = given_up(stacked)
    assert all(array.is_deleted() for array in arrays)
    jax.tree.map(np.testing.assert_array_equal, joined(found), expected)
    assert joined(joined(found)) is not found


def test_accounts_name_arrays_as_files_do(models):
    one, other = map(model_account, models)
    assert one == other


def test_loading_off_the_cpu_takes_one_array_of_the_stack_more(tiny, monkeypatch):
    config, numerics = tiny.CONFIG, Numerics()
    alone = weight_bytes(config, numerics)
    assert loading_bytes(config, numerics) == alone
    monkeypatch.setattr(memory, "in_host_memory", lambda: False)
    largest = max(leaf.nbytes for leaf in jax.tree.leaves(tiny.make_transformer().blocks))
    assert loading_bytes(config, numerics) == alone + largest
    monkeypatch.setattr(memory, "memory_there_bytes", lambda: alone)
    with pytest.raises(ValueError, match="what would fit: --storage=bfloat16"):
        check_fits(config, numerics)
