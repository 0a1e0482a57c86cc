"""Transcoders are trained by the gradients of their definition, learn what was planted, and resume to the same bits."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from causeway.engine.dictionary.cross_layer import CrossLayerTranscoder
from causeway.engine.dictionary.dictionary import take
from causeway.engine.train import dictionaries
from causeway.engine.train.checkpoint import Checkpoints
from causeway.engine.train.design import Design
from causeway.engine.train.dictionaries import _Program, _start, fold, train_dictionaries
from causeway.engine.train.recipe import Recipe

L, D, OUT, F, PLANTED = 2, 16, 12, 24, 12
DESIGNS = {
    "layers": Design("mlp_in", (0, 1), "mlp_out"),
    "skip": Design("mlp_in", (0, 1), "mlp_out", skip=True),
    "cross": Design("mlp_in", (0, 1), "mlp_out", cross_layer=True),
    "cross skip": Design("mlp_in", (0, 1), "mlp_out", skip=True, cross_layer=True),
}


class Planted:
    """Inputs are sums of a few of 12 directions; targets sums of other directions, those of layer 0 in layer 1 too."""

    def __init__(self, linear=0.0, crossing=0.0, tokens=2048, batch=256):
        rng = np.random.default_rng(0)

        def directions(width):
            rows = rng.standard_normal((L, PLANTED, width))
            return rows / np.linalg.norm(rows, axis=-1, keepdims=True)

        on = rng.random((L, tokens, PLANTED)) < 2 / PLANTED
        strengths = rng.uniform(1, 2, on.shape) * on
        x = 5 * strengths @ directions(D) + rng.standard_normal((L, 1, D))
        y = 3 * strengths @ directions(OUT) + linear * x @ rng.standard_normal((L, D, OUT))
        y[1] += crossing * strengths[0] @ directions(OUT)[0]
        self.x = jnp.asarray(np.concatenate([x, y + rng.standard_normal((L, 1, OUT))], axis=-1), jnp.float32)
        self.capacity, self.d_in, self.width, self.batch = tokens, D, D + OUT, batch

    def buffer(self, chunk):
        return self.x, self.capacity

    def __call__(self, step):
        order = np.random.default_rng(step // 8).permutation(self.capacity).astype(np.int32)
        return self.x, order[step % 8 * self.batch :][: self.batch]


def recipe(kind="batchtopk", **changes):
    return Recipe(kind, **({"features": F, "active": 3.0, "steps": 250, "batch": 256, "learning_rate": 5e-3} | changes))


def explained(trained, data):
    """Share of each layer's variance that the finished dictionaries explain."""
    x, y = np.asarray(data.x[..., :D]), np.asarray(data.x[..., D:])
    if isinstance(trained, CrossLayerTranscoder):
        made = np.asarray(trained.reconstruct(x))
    else:
        made = np.stack([take(trained, i).reconstruct(x[i]) for i in range(L)])
    return 1 - ((y - made) ** 2).sum((1, 2)) / ((y - y.mean(1, keepdims=True)) ** 2).sum((1, 2))


def wobbled(design, kind="jumprelu", **changes):
    """A program, a state with no parameter at its first value, and a batch as it sees it."""
    data, program = Planted(linear=0.3, crossing=2.0), _Program(recipe(kind, **changes), design, D)
    state = _start(program, *data.buffer(0))
    wobble = jax.tree.map(lambda a: a + 0.05 * jnp.cos(jnp.arange(a.size).reshape(a.shape)), state.parameters)
    state = dataclasses.replace(state, parameters=wobble)
    targets = (state.target_shift, state.target_scale)
    return program, state, program._batch(data.x[:, :64], (state.shift, state.scale), targets)


def plain_gradients(design, parameters, batch, recipe):
    """The loss and its gradients by the formulas, one layer's decoder block at a time, in float64."""
    q = jax.tree.map(lambda a: np.asarray(a, np.float64), parameters)
    x, y, e = np.asarray(batch.x, np.float64), np.asarray(batch.y, np.float64), recipe.bandwidth
    tokens, t = x.shape[1], np.exp(q.log_threshold)
    p = [x[i] @ q.W_enc[i] + q.b_enc[i] for i in range(L)]
    f = [np.where(p[i] > t[i], p[i], 0) for i in range(L)]
    pairs = [(i, j) for i in range(L) for j in range(i, L if design.cross_layer else i + 1)]
    block = {(i, j): q.W_dec[i].reshape(F, -1, OUT)[:, j - i] for i, j in pairs}
    made = [q.b_dec[j] + sum(f[i] @ block[i, j] for i in range(L) if (i, j) in block) for j in range(L)]
    if design.skip:
        made = [made[j] + x[j] @ q.W_skip[j] for j in range(L)]
    error = [y[j] - made[j] for j in range(L)]
    l0 = [(p[i] > t[i]).sum() / tokens for i in range(L)]
    loss = sum((e_**2).sum() / tokens for e_ in error) + sum((n / recipe.active - 1) ** 2 for n in l0)
    g = [-2 * e_ / tokens for e_ in error]
    df = [sum(g[j] @ block[i, j].T for j in range(L) if (i, j) in block) for i in range(L)]
    near = [abs(p[i] - t[i]) < e / 2 for i in range(L)]
    dp = [np.where(p[i] > t[i], df[i], 0) for i in range(L)]
    dt = [
        -(t[i] / e) * (near[i] * df[i]).sum(0) - 2 * (l0[i] / recipe.active - 1) / recipe.active * near[i].mean(0) / e
        for i in range(L)
    ]
    blocks = {pair: f[pair[0]].T @ g[pair[1]] for pair in pairs}
    decoders = [np.concatenate([blocks[pair] for pair in pairs if pair[0] == i], axis=1) for i in range(L)]
    return loss, {
        "W_enc": np.stack([x[i].T @ dp[i] for i in range(L)]),
        "b_enc": np.stack([d.sum(0) for d in dp]),
        "W_dec": tuple(decoders) if design.cross_layer else np.stack(decoders),
        "b_dec": np.stack([d.sum(0) for d in g]),
        "log_threshold": np.stack([t[i] * dt[i] for i in range(L)]),
        "W_skip": np.stack([x[i].T @ g[i] for i in range(L)]) if design.skip else None,
    }


SLOW = pytest.mark.slow
# In a fast run the two that have everything the others have.
SOME = [pytest.param(name, marks=() if name in ("skip", "cross skip") else SLOW) for name in DESIGNS]


def gradients(parameters, recipe, batch):
    """The loss and its gradients as training takes them."""
    loss = jax.jit(jax.value_and_grad(dictionaries._loss, has_aux=True), static_argnums=1)
    (value, _), found = loss(parameters, recipe, batch)
    return value, found


@pytest.mark.parametrize("name", SOME)
def test_gradients_are_those_of_the_formulas(name):
    program, state, batch = wobbled(DESIGNS[name])
    loss, found = gradients(state.parameters, program.recipe, batch)
    expected_loss, expected = plain_gradients(DESIGNS[name], state.parameters, batch, program.recipe)
    assert float(loss) == pytest.approx(expected_loss, rel=1e-5)
    for field, gradient in expected.items():
        close = lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-5)  # noqa: E731
        jax.tree.map(close, getattr(found, field), gradient)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "kind"),
    [pytest.param("layers", "jumprelu", marks=SLOW), pytest.param("layers", "topk", marks=SLOW), ("cross", "jumprelu")],
)
def test_planted_features_are_found_and_the_error_falls(name, kind):
    data, seen = Planted(crossing=4.0 * (name == "cross")), []
    trained = train_dictionaries(recipe(kind), data, DESIGNS[name], report=lambda _, p: seen.append(p))
    assert isinstance(trained, CrossLayerTranscoder) == (name == "cross")
    assert (trained.config.stream, trained.config.output_stream) == ("mlp_in", "mlp_out")
    assert (np.asarray(seen[-1].unexplained) < 0.4 * np.asarray(seen[0].unexplained)).all()
    found = explained(trained, data)
    assert (found > 0.85).all()
    # What was seen in training's own units is what the folded dictionary does in the streams'.
    np.testing.assert_allclose(found, 1 - np.asarray(seen[-1].unexplained), atol=0.04)


@pytest.mark.slow
def test_what_layers_share_only_a_transcoder_that_crosses_them_explains():
    data = Planted(crossing=6.0)
    apart, crossing = (train_dictionaries(recipe(), data, DESIGNS[name]) for name in ("layers", "cross"))
    assert explained(apart, data)[1] < 0.6
    assert explained(crossing, data)[1] > 0.85


@pytest.mark.slow
def test_a_skip_connection_begins_at_nothing_and_learns_what_is_linear():
    data = Planted(linear=1.0)
    skip, none = (_Program(recipe("jumprelu"), DESIGNS[name], D) for name in ("skip", "layers"))
    states = [_start(program, *data.buffer(0)) for program in (skip, none)]
    assert not np.asarray(states[0].parameters.W_skip).any()
    bare = dataclasses.replace(states[0].parameters, W_skip=None)
    jax.tree.map(np.testing.assert_array_equal, bare, states[1].parameters)
    batch = skip._batch(
        data.x[:, :64], (states[0].shift, states[0].scale), (states[0].target_shift, states[0].target_scale)
    )
    (loss, found), (expected_loss, expected) = (gradients(s.parameters, recipe("jumprelu"), batch) for s in states)
    np.testing.assert_allclose(loss, expected_loss, rtol=1e-6)
    np.testing.assert_allclose(found.W_enc, expected.W_enc, rtol=1e-5, atol=1e-7)
    with_skip, without = (train_dictionaries(recipe("jumprelu"), data, DESIGNS[name]) for name in ("skip", "layers"))
    assert (explained(with_skip, data) > explained(without, data)).all()


@pytest.mark.parametrize("name", SOME)
@pytest.mark.parametrize("kind", ["jumprelu", pytest.param("topk", marks=SLOW)])
def test_folding_changes_the_units_and_nothing_else(name, kind):
    design = DESIGNS[name]
    program, state, batch = wobbled(design, kind)
    data = np.asarray(Planted(linear=0.3, crossing=2.0).x[:, :64])
    p = dictionaries._read(state.parameters, batch.x)
    f = dictionaries._activate(program.recipe, p, state.parameters.log_threshold)[0]
    made = batch.y - dictionaries.residual(state.parameters, batch, f)
    expected = (
        np.asarray(made) / np.asarray(state.target_scale)[:, None, None] + np.asarray(state.target_shift)[:, None]
    )
    folded = fold(program.recipe, state, design)
    if design.cross_layer:
        found = np.asarray(folded.reconstruct(data[..., :D]))
    else:
        found = np.stack([take(folded, i).reconstruct(data[i, :, :D]) for i in range(L)])
    # A value within rounding of its threshold may fall on either side of it.
    off = abs(found - expected).max(-1) > 1e-3
    assert off.mean() < 0.02


@pytest.mark.parametrize("name", ["layers", "cross skip"])
def test_dead_features_come_back_where_the_error_is_and_the_living_are_left_alone(name):
    program, state, batch = wobbled(DESIGNS[name])
    dead = np.zeros((L, F), bool)
    dead[0, 5] = dead[1, 9] = True
    ones = jax.tree.map(jnp.ones_like, state.moments)
    state = dataclasses.replace(state, idle=jnp.where(dead, 1000, 3), moments=ones)
    after = jax.jit(program.revived)(state, batch)
    np.testing.assert_array_equal(after.idle, np.where(dead, 0, 3))
    p = np.asarray(dictionaries._read(after.parameters, batch.x))
    for layer, feature in ((0, 5), (1, 9)):
        # At the token it was made from it reads twice its threshold, and it writes a direction of length 1.
        assert p[layer, :, feature].max() >= 1.99 * np.exp(after.parameters.log_threshold[layer, feature])
        assert np.linalg.norm(after.parameters.W_dec[layer][feature]) == pytest.approx(1, rel=1e-5)
        assert not np.asarray(after.moments[0].mu.W_dec[layer])[feature].any()
        np.testing.assert_array_equal(
            np.delete(np.asarray(after.parameters.W_dec[layer]), feature, 0),
            np.delete(np.asarray(state.parameters.W_dec[layer]), feature, 0),
        )
        assert (np.delete(np.asarray(after.moments[0].mu.W_enc[layer]), feature, 1) == 1).all()
    np.testing.assert_array_equal(
        np.moveaxis(np.asarray(after.parameters.W_enc), 2, 1)[~dead],
        np.moveaxis(np.asarray(state.parameters.W_enc), 2, 1)[~dead],
    )


class Killed(Exception):
    pass


@pytest.mark.slow
@pytest.mark.parametrize("name", [pytest.param("skip", marks=SLOW), "cross skip"])
def test_killed_and_rerun_gives_the_same_bits(tmp_path, name):
    short, design = recipe("jumprelu", steps=24, dead_after=3, revive_every=4), DESIGNS[name]

    def run(directory, die_at=None):
        def report(done, _):
            if done == die_at:
                raise Killed

        with Checkpoints(directory, dataclasses.asdict(short) | design.identity) as checkpoints:
            return train_dictionaries(short, Planted(), design, checkpoints, 5, report)

    whole = run(tmp_path / "whole")
    with pytest.raises(Killed):
        run(tmp_path / "killed", die_at=17)
    jax.tree.map(np.testing.assert_array_equal, whole, run(tmp_path / "killed"))


def test_bad_designs_are_refused(refuses):
    with refuses("skip: got True for SAEs"):
        Design("mlp_out", (0,), "mlp_out", skip=True)
    with refuses("layers: got"):
        Design("mlp_in", (1, 0), "mlp_out", cross_layer=True)
    with refuses("mlp_in comes before mlp_out"):
        Design("mlp_out", (0,), "mlp_in")
    with refuses("stream: got 'mlp'"):
        Design("mlp", (0,))
