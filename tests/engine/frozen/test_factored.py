"""Second-order effects as vectors: factored, they are what carrying each neuron up gives, and the adjoint reads."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from causeway.engine.frozen.factored import effect_codes, effect_maps, effect_vectors
from causeway.engine.frozen.neurons import neuron_effects
from causeway.engine.frozen.pullback import logit_targets
from causeway.engine.frozen.record import record_rows

pytestmark = pytest.mark.usefixtures("double")
PROMPTS = ([7, 31, 2, 19, 38], [4, 4, 11])
LENGTHS = jnp.array([5, 3])


@pytest.fixture(scope="module", params=("llama", "qwen3", "gpt2", "gpt_neox", "gemma2", "olmo2"))
def case(request, tiny):
    transformer = tiny.make_transformer(tiny.DOUBLE, **tiny.FAMILIES[request.param])
    padded = jnp.asarray([prompt + [0] * (8 - len(prompt)) for prompt in PROMPTS])
    program = jax.jit(partial(record_rows, reads=("mlp_act", "embed"), logits_of="last"))
    return transformer, program(transformer, padded, LENGTHS)


@pytest.fixture(scope="module")
def vectors(case):
    """Of all neurons of layers 0 and 1, [N, B, D]."""
    transformer, record = case
    every = jnp.arange(transformer.config.d_ff)

    @partial(jax.jit, static_argnames="at")
    def found(transformer, record, at):
        return effect_vectors(effect_codes(record, at, every, LENGTHS - 1), effect_maps(transformer, at, every))

    return [np.asarray(found(transformer, record, at)) for at in (0, 1)]


def test_vectors_are_what_one_head_brings_to_the_output(case, vectors, plain, plain_orders):
    transformer, _ = case
    for number, prompt in enumerate(PROMPTS):
        twin = plain_orders.Recorded(plain, transformer, np.array(prompt))
        for at, neuron in ((0, 0), (0, 7), (1, 3)):
            passed = twin.orders(at, twin.neuron(at, neuron), 1)[1]
            wanted = [twin.read(passed, unit) for unit in np.eye(transformer.config.d_model)]
            np.testing.assert_allclose(vectors[at][neuron, number], wanted, rtol=0, atol=1e-12)


def test_projected_on_directions_they_are_the_adjoints_first_order(case, vectors):
    """I5."""
    transformer, record = case
    directions = jnp.asarray(np.random.default_rng(0).standard_normal((3, transformer.config.d_model)))

    @jax.jit
    def adjoint(transformer, record):
        def of_prompt(own, position):
            targets = logit_targets(transformer, own, directions, position)
            return neuron_effects(transformer, own, targets, orders=1).neurons[:, 1]

        return jax.vmap(of_prompt)(record, LENGTHS - 1)

    found = np.asarray(adjoint(transformer, record))
    for at in (0, 1):
        wanted = np.einsum("nbd,rd->brn", vectors[at], directions)
        np.testing.assert_allclose(found[:, at], wanted, rtol=0, atol=1e-12 * np.abs(wanted).max())


def test_a_few_neurons_are_those_of_all(case, vectors):
    transformer, record = case
    some = jnp.array([5, 2])
    codes, maps = effect_codes(record, 0, some, LENGTHS - 1), effect_maps(transformer, 0, some)
    np.testing.assert_allclose(effect_vectors(codes, maps), vectors[0][[5, 2]], rtol=0, atol=1e-12)
