"""The table of real sizes: every operation has its cases, which can be traced and drawn."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from causeway.engine.precision import full_precision
from causeway.kernels.shapes import CASES, IMPLEMENTATIONS, Case


def named_cases():
    return [pytest.param(case, id=f"{name}-{size}") for name, sizes in CASES.items() for size, case in sizes.items()]


@pytest.mark.parametrize("case", named_cases())
def test_implementations_agree_on_what_they_give(case):
    """Without running them: shapes and dtypes."""
    traced = [
        jax.eval_shape(partial(case.operation, implementation=implementation), *case.arguments)
        for implementation in IMPLEMENTATIONS
    ]
    assert traced[0] == traced[1]
    assert case.bytes > 0


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_implementations_agree_at_a_laptops_size(name):
    """On what is drawn for the benchmark; ids to the last one."""
    case = CASES[name]["d512"]
    arguments = case.draw()
    plain, fused = (
        jax.tree.leaves(jax.jit(full_precision(partial(case.operation, implementation=each)))(*arguments))
        for each in IMPLEMENTATIONS
    )
    for wanted, found in zip(plain, fused, strict=True):
        if jnp.issubdtype(wanted.dtype, jnp.integer):
            np.testing.assert_array_equal(found, wanted)
        else:
            np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-3)


def test_what_is_drawn_is_in_range():
    shapes = (
        jax.ShapeDtypeStruct((50,), jnp.int32),
        jax.ShapeDtypeStruct((3,), bool),
        jax.ShapeDtypeStruct((4,), jnp.bfloat16),
    )
    whole, mask, normal = Case(lambda *_: (), shapes, 1, below=7).draw()
    assert int(whole.max()) == 6
    assert int(whole.min()) == 0
    assert bool(mask.all())
    assert normal.dtype == jnp.bfloat16
