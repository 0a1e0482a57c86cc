"""Configurations refuse what cannot be built, and say so in one line."""

import dataclasses

import jax.numpy as jnp

from causeway.engine.model.config import Numerics


def test_kv_heads_must_divide_the_heads(tiny, refuses):
    with refuses("num_kv_heads: 3 does not divide num_heads = 4"):
        dataclasses.replace(tiny.CONFIG, num_kv_heads=3)


def test_rotary_width_must_be_even(tiny, refuses):
    with refuses("head_dim: 5 is odd"):
        dataclasses.replace(tiny.CONFIG, head_dim=5)


def test_configurations_are_part_of_a_compile_key(tiny):
    assert hash(tiny.CONFIG) == hash(dataclasses.replace(tiny.CONFIG))
    assert dataclasses.replace(tiny.CONFIG, rope_theta=5.0) != tiny.CONFIG


def test_the_three_dtypes_are_separate():
    numerics = Numerics("bfloat16", "float32", "float64")
    assert numerics.storage_dtype == jnp.bfloat16
    assert numerics.compute_dtype == jnp.float32
    assert numerics.accumulate_dtype == jnp.dtype("float64")
