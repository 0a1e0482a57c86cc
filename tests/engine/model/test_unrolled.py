"""One array a layer: what a step of decoding takes, and where it lies."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from causeway.engine.intervention.taps import TapSpec, bind_tap, single
from causeway.engine.mesh import make_mesh
from causeway.engine.model.cache import prefill
from causeway.engine.model.config import Numerics
from causeway.engine.model.decode import Own, Rows, Shared, decode_segment
from causeway.engine.model.placement import place_abstract
from causeway.engine.model.sampling import Sampling
from causeway.engine.model.transformer import layer
from causeway.engine.model.unrolled import given_up, layers_of, unrolled

ROWS, STEPS = 2, 3


def own_arrays(transformer):
    found = unrolled(transformer)
    for index, block in enumerate(found.blocks):
        jax.tree.map(np.testing.assert_array_equal, block, layer(transformer.blocks, index))
    return found


def test_each_layer_has_the_stack_s_numbers(transformer):
    found = own_arrays(transformer)
    assert len(found.blocks) == transformer.config.num_layers
    assert found.embedding[...] is transformer.embedding[...]
    assert not isinstance(transformer.blocks, tuple)
    assert unrolled(found) is found


def test_on_a_cpu_they_are_the_stack_s_memory():
    stack = jnp.arange(3 * 64.0).reshape(3, 64)
    places = [part.unsafe_buffer_pointer() - stack.unsafe_buffer_pointer() for part in layers_of(stack)]
    assert places == [0, 256, 512]


@pytest.mark.parametrize("model", [1, 2])
def test_they_lie_where_the_stack_lies(tiny, model):
    placed = place_abstract(tiny.make_transformer(), make_mesh(2, model))
    transformer = jax.tree.map(lambda a, s: jax.device_put(a, s.sharding), tiny.make_transformer(), placed)
    specs = [tuple(stack.sharding.spec)[1:] for stack in jax.tree.leaves(transformer.blocks)]
    for found in (own_arrays(transformer), given_up(transformer)):
        for block in found.blocks:
            assert [tuple(own.sharding.spec) for own in jax.tree.leaves(block)] == specs


@pytest.mark.parametrize(("reader", "width"), [("all", 0), ("top_k", 4)])
def test_a_step_cuts_nothing_out_of_a_stack_of_layers(tiny, reader, width):
    transformer = tiny.make_transformer(num_layers=5)
    prefix = prefill(transformer, jnp.asarray(tiny.PROMPT[:8]), jnp.int32(8)).unrolled()
    dictionary = tiny.make_dictionary(layers=range(5))
    tap = single(bind_tap(TapSpec("resid_post", reader, tuple(range(5)), width), dictionary))
    shared = Shared(unrolled(transformer), None, prefix, (tap,), jnp.int32(8), jnp.int32(0))
    ids = jnp.zeros(ROWS, jnp.int32)
    rows = Rows(ids, ids == 0, jnp.zeros((ROWS, 2), jnp.uint32), ids)
    own = Own(rows, (), (), jnp.zeros((STEPS, ROWS), jnp.int32))
    segment = partial(decode_segment, length=STEPS, sampling=Sampling(0.0), recomputed=False)
    program = jax.make_jaxpr(segment)(shared, own)
    assert not [shape for shape in _sliced(program.jaxpr) if len(shape) > 2 and shape[0] == 5]
    assert len(jax.tree.leaves(shared)) > 5 * 9


def _sliced(jaxpr):
    """Shapes that something is cut out of, loops and calls included."""
    for equation in jaxpr.eqns:
        if equation.primitive.name in ("slice", "dynamic_slice", "gather"):
            yield equation.invars[0].aval.shape
        for inner in jax.core.jaxprs_in_params(equation.params):
            yield from _sliced(inner)


@pytest.mark.parametrize(
    ("numerics", "dtype"),
    [
        (Numerics(), "float32"), (Numerics("bfloat16", "bfloat16"), "bfloat16"),
        (Numerics("float16", "float16"), "float16"),
        (Numerics("bfloat16", "float32"), "float32"), (Numerics("float32", "bfloat16", "float64"), "float64"),
    ],
)  # fmt: skip
def test_products_of_16_bits_are_asked_for_in_16_bits(numerics, dtype):
    assert numerics.product_dtype == jnp.dtype(dtype)
