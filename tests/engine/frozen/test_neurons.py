"""What every neuron does to a direction, order by order, against dense numpy; and that the parts make the whole."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from causeway.engine.frozen.neurons import neuron_effects
from causeway.engine.frozen.pullback import Targets, logit_targets
from causeway.engine.frozen.record import record_rows

pytestmark = pytest.mark.usefixtures("double")
PROMPT = np.array([7, 31, 2, 19, 38])
LAYERS = 3


@pytest.fixture(scope="module", params=("llama", "qwen3", "gpt2", "gpt_neox", "gemma2", "olmo2", "qwen2", "bare"))
def case(request, tiny, plain, plain_orders):
    """A model, its numpy twin on the prompt, and its record, padded."""
    transformer = tiny.make_transformer(tiny.DOUBLE, **tiny.FAMILIES[request.param])
    twin = plain_orders.Recorded(plain, transformer, PROMPT)
    padded = np.pad(PROMPT, (0, 3))
    program = jax.jit(partial(record_rows, reads=("mlp_act", "embed"), logits_of="last"))
    rows = program(transformer, jnp.asarray(padded)[None], jnp.array([len(PROMPT)]))
    return transformer, twin, jax.tree.map(lambda array: array[0], rows)


@pytest.fixture(scope="module")
def vectors(tiny):
    return np.random.default_rng(1).standard_normal((2, tiny.CONFIG.d_model))


@pytest.fixture(scope="module")
def effects(case, vectors):
    transformer, _, record = case
    return _effects(transformer, record, jnp.asarray(vectors))


@jax.jit
def _effects(transformer, record, vectors):
    targets = logit_targets(transformer, record, vectors, jnp.int32(len(PROMPT) - 1))
    return neuron_effects(transformer, record, targets, orders=LAYERS)


def test_every_order_of_every_neuron_is_what_carrying_it_up_gives(case, vectors, effects):
    _, twin, _ = case
    expected = np.zeros(effects.neurons.shape)
    for layer, order, row, neuron in np.ndindex(expected.shape):
        if order == row == 0:
            carried = twin.orders(layer, twin.neuron(layer, neuron), LAYERS)
            for k, passed in enumerate(carried):
                expected[layer, k, :, neuron] = [twin.read(passed, vector) for vector in vectors]
    np.testing.assert_allclose(effects.neurons, expected, rtol=0, atol=1e-12 * np.abs(expected).max())
    assert np.abs(expected[0, 1]).max() > 0
    # A neuron of the last layer meets no attention above it.
    assert not np.any(effects.neurons[-1, 1:])


def test_all_sources_and_orders_together_are_the_number_itself(case, vectors, effects):
    """I0 and I2: what writes to the stream, each through its own heads, and constants, make up the logit."""
    transformer, twin, _ = case
    parts = [effects.neurons.sum(-1), effects.mlp_biases, effects.attention]
    total = sum(np.asarray(part).sum((0, 1)) for part in parts) + np.asarray(effects.embedding).sum(0)
    norm = transformer.final_norm
    bias = np.asarray(norm.bias[...], np.float64) @ vectors.T if hasattr(norm, "bias") else 0
    wanted = twin.found["final_norm", LAYERS][-1] @ vectors.T
    np.testing.assert_allclose(total + bias, wanted, rtol=1e-12, atol=1e-12 * np.abs(wanted).max())


def test_the_orders_of_a_layer_are_its_effect_with_all_else_held(case, vectors, effects):
    """I1 and I3: carried up as one, through attention as it was, what an MLP writes has the sum of its parts."""
    _, twin, _ = case
    for layer in range(LAYERS):
        carried = twin.orders(layer, twin.found["mlp_out", layer], LAYERS)
        wanted = np.array([[twin.read(part, vector) for vector in vectors] for part in carried])
        found = np.asarray(effects.neurons[layer].sum(-1) + effects.mlp_biases[layer])
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-12 * np.abs(wanted).max())


def test_fewer_orders_are_the_first_ones(case, vectors, effects):
    transformer, _, record = case

    @jax.jit
    def first(transformer, record, vectors):
        targets = logit_targets(transformer, record, vectors, jnp.int32(len(PROMPT) - 1))
        return neuron_effects(transformer, record, targets, orders=1)

    found = first(transformer, record, jnp.asarray(vectors))
    np.testing.assert_allclose(found.neurons, effects.neurons[:, :2], rtol=0, atol=1e-12)
    np.testing.assert_allclose(found.attention, effects.attention[:, :2], rtol=0, atol=1e-12)


def test_a_direction_of_a_layer_below_the_top_is_read_there(case, vectors):
    transformer, twin, record = case
    layer = LAYERS - 2
    targets = Targets(jnp.full(2, layer), jnp.full(2, len(PROMPT) - 1), jnp.asarray(vectors))
    found = jax.jit(partial(neuron_effects, orders=1))(transformer, record, targets)
    for below in range(LAYERS):
        for neuron in (0, 5):
            passed = twin.orders(below, twin.neuron(below, neuron), 1, top=layer)
            wanted = [part[-1] @ vectors.T if below <= layer else np.zeros(2) for part in passed]
            np.testing.assert_allclose(found.neurons[below, :, :, neuron], wanted, rtol=0, atol=1e-11)
