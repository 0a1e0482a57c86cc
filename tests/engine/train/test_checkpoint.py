"""Checkpoints restore what was saved, keep the latest, and refuse another run's and damaged ones."""

import os
import signal

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from causeway.engine.model.config import ModelConfig, Numerics
from causeway.engine.model.transformer import Transformer
from causeway.engine.sweep.interrupt import Stopped
from causeway.engine.train.checkpoint import Checkpoints, keeping

CONFIG = ModelConfig("llama", 2, 8, 2, 1, 4, 16, 11, 32)


@pytest.fixture
def state():
    model = Transformer(CONFIG, Numerics(), rngs=nnx.Rngs(0))
    return model, optax.adamw(1e-3).init(model), jnp.int32(3)


@pytest.fixture
def two_steps(tmp_path):
    """A workdir with steps 1 and 2, and a function that restores it."""
    with Checkpoints(tmp_path, {"rate": 1.0}) as checkpoints:
        for step in (1, 2):
            checkpoints.save(step, {"a": jnp.arange(8.0) + step, "b": jnp.int32(step)})

    def restore():
        with Checkpoints(tmp_path, {"rate": 1.0}) as checkpoints:
            return checkpoints.restore({"a": jnp.zeros(8), "b": jnp.int32(0)})

    return tmp_path / "checkpoints", restore


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


def test_only_the_latest_are_kept_and_leftovers_go(tmp_path):
    with Checkpoints(tmp_path, {}, keep=2) as checkpoints:
        for step in (8, 9, 10, 11):
            checkpoints.save(step, {"a": jnp.full(2, step)})
        _, restored = checkpoints.restore({"a": jnp.zeros(2, jnp.int32)})
    np.testing.assert_array_equal(restored["a"], [11, 11])
    (tmp_path / "checkpoints" / "12.partial" / "arrays").mkdir(parents=True)
    with Checkpoints(tmp_path, {}, keep=2) as checkpoints:
        assert checkpoints.latest_step == 11
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == ["10", "11"]


def test_another_configuration_is_refused_by_field(tmp_path):
    with Checkpoints(tmp_path, {"rate": 1.0, "seed": 0}) as checkpoints:
        checkpoints.save(0, {"a": jnp.zeros(2)})
    with Checkpoints(tmp_path, {"rate": 2.0, "seed": 0}) as checkpoints, pytest.raises(ValueError, match="rate: 1"):
        checkpoints.restore({"a": jnp.zeros(2)})


def test_one_run_at_a_time(tmp_path):
    with Checkpoints(tmp_path, {}), pytest.raises(ValueError, match=rf"in use by process {os.getpid()}"):
        Checkpoints(tmp_path, {}).__enter__()


def test_a_flip_in_any_file_is_named_with_what_to_do(two_steps):
    folder, restore = two_steps
    random = np.random.default_rng(0)
    for file in sorted(path for path in (folder / "2").rglob("*") if path.is_file()):
        good = file.read_bytes()
        if good:
            bad = bytearray(good)
            bad[random.integers(len(bad))] ^= 1 << random.integers(8)
            file.write_bytes(bad)
            with pytest.raises(ValueError, match=r"^damaged: ") as caught:
                restore()
            assert f"{file} (" in str(caught.value)
            assert f"delete {folder / '2'}, and the same command goes on" in str(caught.value)
        file.unlink()
        with pytest.raises(ValueError, match=r"damaged: .*\(missing\)"):
            restore()
        file.write_bytes(good)
    assert restore()[0] == 2


def test_without_the_damaged_step_the_one_before_is_restored(two_steps):
    folder, restore = two_steps
    (folder / "2").rename(folder / "elsewhere")
    step, restored = restore()
    assert step == 1
    np.testing.assert_array_equal(restored["a"], np.arange(8.0) + 1)


def test_a_signal_saves_the_step_it_came_in(tmp_path):
    def train(checkpoints):
        with keeping(checkpoints, 4, 9, lambda step, state, result: None) as keep:
            for done in range(1, 10):
                if done == 3:
                    os.kill(os.getpid(), signal.SIGTERM)
                keep(done, {"a": jnp.int32(done)}, None)

    with Checkpoints(tmp_path, {}) as checkpoints:
        with pytest.raises(Stopped, match="after step 3 of 9; rerun"):
            train(checkpoints)
        assert checkpoints.latest_step == 3


@pytest.mark.parametrize("broken", [4, 5, 9])
def test_nothing_is_saved_after_a_result_that_is_no_number(tmp_path, broken):
    def check(step, state, result):
        if np.isnan(result):
            raise ValueError(f"step {step}")

    def train(checkpoints):
        with keeping(checkpoints, 4, 9, check) as keep:
            for done in range(1, 10):
                keep(done, {"a": jnp.int32(done)}, np.nan if done == broken else 0.0)

    with Checkpoints(tmp_path, {}) as checkpoints:
        with pytest.raises(ValueError, match=f"step {broken}"):
            train(checkpoints)
        assert (checkpoints.latest_step or 0) < broken
