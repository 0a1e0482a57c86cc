"""The table of real sizes: every operation has its cases, which can be traced and drawn."""

from functools import partial

import jax
import jax.numpy as jnp
import pytest

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
