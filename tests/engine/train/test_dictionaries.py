"""Training finds planted features, folds its units out, and resumes to the same bits."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from causeway.engine.dictionary.dictionary import take
from causeway.engine.model.finite import NotFiniteError
from causeway.engine.train.checkpoint import Checkpoints
from causeway.engine.train.design import Design
from causeway.engine.train.dictionaries import _Program, _start, fold, train_dictionaries
from causeway.engine.train.recipe import Recipe
from causeway.engine.train.state import Batch

LAYERS, WIDTH, PLANTED, ACTIVE = (0, 3), 16, 24, 2
DESIGN = Design("resid_post", LAYERS)


class Planted:
    """Tokens that are sums of a few of 24 directions with random strengths, far from the origin."""

    def __init__(self, places=(0, 1), tokens=4096, batch=256):
        rng = np.random.default_rng(0)
        directions = rng.standard_normal((2, PLANTED, WIDTH))
        directions /= np.linalg.norm(directions, axis=-1, keepdims=True)
        strengths = rng.uniform(1, 2, (2, tokens, PLANTED)) * (rng.random((2, tokens, PLANTED)) < ACTIVE / PLANTED)
        x = 5 * (strengths @ directions) + rng.standard_normal((2, 1, WIDTH))
        self.x = jnp.asarray(x[list(places)], jnp.float32)
        self.capacity, self.d_in, self.width, self.batch = tokens, WIDTH, WIDTH, batch

    def buffer(self, chunk):
        return self.x, self.capacity

    def __call__(self, step):
        order = np.random.default_rng(step // 16).permutation(self.capacity).astype(np.int32)
        return self.x, order[step % 16 * self.batch :][: self.batch]


def recipe(kind="batchtopk", **changes):
    active = {"topk": 4, "batchtopk": 2.5, "jumprelu": 2.5}[kind]
    values = {"features": 32, "active": active, "steps": 500, "batch": 256, "learning_rate": 5e-3}
    return Recipe(kind, **(values | changes))


@pytest.mark.parametrize("kind", ["jumprelu", pytest.param("topk", marks=pytest.mark.slow), "batchtopk"])
def test_planted_features_are_found_within_the_sparsity_asked_for(kind):
    data, seen = Planted(), []
    trained = train_dictionaries(recipe(kind), data, DESIGN, report=lambda _, p: seen.append(p))
    assert trained.config.layers == LAYERS
    assert trained.config.kind == ("topk" if kind == "topk" else "jumprelu")
    for i in range(2):
        one, x = take(trained, i), np.asarray(data.x[i])
        f = one.encode(x)
        explained = 1 - ((x - one.decode(f)) ** 2).sum() / ((x - x.mean(0)) ** 2).sum()
        assert explained > 0.9
        assert float((f > 0).sum(1).mean()) < 1.15 * recipe(kind).active
        # What was seen in training's own units is what the folded dictionary does in the stream's.
        assert explained == pytest.approx(1 - float(seen[-1].unexplained[i]), abs=0.03)
        np.testing.assert_allclose(np.linalg.norm(one.W_dec[...], axis=1), 1, rtol=1e-5)


def test_a_layer_does_not_depend_on_its_company():
    short = recipe(steps=30)
    both = train_dictionaries(short, Planted(), DESIGN)
    alone = train_dictionaries(short, Planted(places=(1,)), Design("resid_post", LAYERS[1:]))
    np.testing.assert_allclose(take(both, 1).W_dec[...], take(alone, 0).W_dec[...], atol=1e-4)


class Killed(Exception):
    pass


@pytest.mark.parametrize("kind", [pytest.param("jumprelu", marks=pytest.mark.slow), "batchtopk"])
def test_killed_and_rerun_gives_the_same_bits(tmp_path, kind):
    short = recipe(kind, steps=40, dead_after=3, revive_every=5)

    def run(directory, die_at=None):
        def report(done, _):
            if done == die_at:
                raise Killed

        with Checkpoints(directory, dataclasses.asdict(short)) as checkpoints:
            return train_dictionaries(short, Planted(), DESIGN, checkpoints, 8, report)

    whole = run(tmp_path / "whole")
    with pytest.raises(Killed):
        run(tmp_path / "killed", die_at=29)
    resumed = run(tmp_path / "killed")
    jax.tree.map(np.testing.assert_array_equal, whole, resumed)
    # A finished run only reads its last checkpoint.
    jax.tree.map(np.testing.assert_array_equal, whole, run(tmp_path / "whole", die_at=1))


def test_folding_changes_the_units_and_nothing_else():
    data, jumps = Planted(), recipe("jumprelu")
    state = _start(_Program(jumps, DESIGN, WIDTH), *data.buffer(0))
    state = dataclasses.replace(
        state,
        parameters=jax.tree.map(lambda a: a + 0.01 * jnp.cos(jnp.arange(a.size).reshape(a.shape)), state.parameters),
    )
    y = (data.x - state.shift[:, None]) * state.scale[:, None, None]
    assert float(jnp.mean(jnp.sum(y**2, -1))) == pytest.approx(1, rel=1e-4)
    folded = fold(jumps, state, DESIGN)
    for i in range(2):
        inside = jax.tree.map(lambda a, i=i: np.asarray(a)[i].astype(np.float64), state.parameters)
        p = np.asarray(y[i], np.float64) @ inside.W_enc + inside.b_enc
        f = np.where(p > np.exp(inside.log_threshold), p, 0)
        got = np.asarray(take(folded, i).encode(data.x[i]))
        # Values within rounding of the threshold may fall on either side of it.
        clear = abs(p - np.exp(inside.log_threshold)) > 1e-5
        np.testing.assert_allclose(got[clear], (f / float(state.scale[i]))[clear], rtol=1e-4, atol=1e-4)
        x = (f @ inside.W_dec + inside.b_dec) / float(state.scale[i]) + np.asarray(state.shift[i])
        np.testing.assert_allclose(take(folded, i).decode(f / float(state.scale[i])), x, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", ["jumprelu", "topk"])
def test_dead_features_come_back_at_unexplained_inputs_and_the_living_are_left_alone(kind):
    data, program = Planted(), _Program(recipe(kind), DESIGN, WIDTH)
    state = _start(program, *data.buffer(0))
    ones = jax.tree.map(jnp.ones_like, state.moments)
    dead = np.zeros((2, 32), bool)
    dead[0, 5] = dead[1, 9] = True
    state = dataclasses.replace(state, idle=jnp.where(dead, 1000, 3), moments=ones)
    y = ((data.x - state.shift[:, None]) * state.scale[:, None, None])[:, :256]
    after = jax.jit(program.revived)(state, Batch(y, y))
    np.testing.assert_array_equal(after.idle, np.where(dead, 0, 3))
    for name, axis in (("W_enc", 2), ("W_dec", 1)):
        old, new = (np.moveaxis(np.asarray(getattr(s.parameters, name)), axis, 1) for s in (state, after))
        np.testing.assert_array_equal(old[~dead], new[~dead])
        assert (abs(new[dead] - old[dead]) > 1e-3).any(axis=-1).all()
        np.testing.assert_allclose(np.linalg.norm(new[dead], axis=-1), 1, rtol=1e-5)
        moment = np.moveaxis(np.asarray(getattr(after.moments[0].mu, name)), axis, 1)
        assert not moment[dead].any()
        assert (moment[~dead] == 1).all()


def test_bad_recipes_are_refused(refuses):
    with refuses("kind: got 'relu'"):
        Recipe("relu", 32, 2, 10)
    with refuses("active: got 32 of 32"):
        Recipe("topk", 32, 32, 10)
    with refuses("whole number"):
        Recipe("topk", 32, 2.5, 10)
    with refuses("l0_coefficient"):
        Recipe("topk", 32, 2, 10, l0_coefficient=0.1)
    with refuses("steps: got 0"):
        Recipe("topk", 32, 2, 0)


def test_a_reconstruction_that_is_not_finite_stops_training_unsaved(tmp_path):
    data = Planted()
    data.x = data.x.at[1].set(jnp.inf)
    with (
        Checkpoints(tmp_path, {}) as checkpoints,
        pytest.raises(NotFiniteError, match="step 1: the reconstruction of layer 3 resid_post is not finite"),
    ):
        train_dictionaries(recipe(steps=4), data, DESIGN, checkpoints, checkpoint_every=2)
    with Checkpoints(tmp_path, {}) as checkpoints:
        assert checkpoints.latest_step is None
