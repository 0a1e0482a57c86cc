"""Checkpoints restore what was saved, keep the latest, and refuse another run's."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from causeway.engine.model.config import ModelConfig, Numerics
from causeway.engine.model.transformer import Transformer
from causeway.engine.train.checkpoint import Checkpoints

CONFIG = ModelConfig("llama", 2, 8, 2, 1, 4, 16, 11, 32)


@pytest.fixture
def state():
    model = Transformer(CONFIG, Numerics(), rngs=nnx.Rngs(0))
    return model, optax.adamw(1e-3).init(model), jnp.int32(3)


def test_round_trip_of_modules_and_optimiser_states(tmp_path, state):
    with Checkpoints(tmp_path, {"rate": 1.0}) as checkpoints:
        checkpoints.save(5, state)
    with Checkpoints(tmp_path, {"rate": 1.0}) as checkpoints:
        step, restored = checkpoints.restore(jax.eval_shape(lambda: state))
    assert step == 5
    assert jax.tree.structure(restored) == jax.tree.structure(state)
    jax.tree.map(np.testing.assert_array_equal, restored, state)


def test_a_new_directory_holds_nothing(tmp_path, state):
    with Checkpoints(tmp_path, {}) as checkpoints:
        assert checkpoints.latest_step is None
        assert checkpoints.restore(state) is None


def test_only_the_latest_are_kept(tmp_path):
    with Checkpoints(tmp_path, {}, keep=2) as checkpoints:
        for step in range(4):
            checkpoints.save(step, {"a": jnp.full(2, step)})
        _, restored = checkpoints.restore({"a": jnp.zeros(2, jnp.int32)})
    np.testing.assert_array_equal(restored["a"], [3, 3])
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.isdigit()) == ["2", "3"]


def test_another_configuration_is_refused_by_field(tmp_path):
    with Checkpoints(tmp_path, {"rate": 1.0, "seed": 0}) as checkpoints:
        checkpoints.save(0, {"a": jnp.zeros(2)})
    with Checkpoints(tmp_path, {"rate": 2.0, "seed": 0}) as checkpoints, pytest.raises(ValueError, match="rate: 1"):
        checkpoints.restore({"a": jnp.zeros(2)})
