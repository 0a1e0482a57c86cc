"""Every holder of dictionaries has one face: what is asked of a layer has one answer, wherever its arrays are."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from causeway.engine.dictionary.columns import FeatureColumns
from causeway.engine.dictionary.digest import dictionary_digest
from causeway.engine.dictionary.fit import fitted
from causeway.engine.dictionary.placement import Sharded, StreamedDictionaries
from causeway.engine.mesh import make_mesh

KINDS = ("jumprelu", "gated", "topk", "matching_pursuit")


def streamed(stack, resident=1):
    return StreamedDictionaries([stack.layer(layer).config for layer in stack.config.layers], stack.layer, resident)


def sharded(stack):
    mesh = make_mesh(1, 4)

    def place(array):
        axis = next((i for i, size in enumerate(array.shape) if size == stack.num_features), None)
        return jax.device_put(array, Sharded(mesh).sharding(array.shape, axis))

    return jax.tree.map(place, stack)


@pytest.fixture(scope="module")
def x(tiny):
    return jnp.asarray(np.random.default_rng(0).standard_normal((5, tiny.CONFIG.d_model)), jnp.float32)


@pytest.mark.parametrize("kind", KINDS)
def test_a_layer_encodes_alike_whoever_holds_it(tiny, x, kind):
    stack = tiny.make_dictionary(kind, layers=(2, 0))
    traced = jax.jit(lambda holder, layer: holder.encode_at(layer, x))
    for layer in (0, 2):
        f = stack.layer(layer).encode(x)
        for holder in (stack, streamed(stack), sharded(stack)):
            np.testing.assert_allclose(holder.encode_at(layer, x), f, atol=1e-6)
            held, number = holder.resident(layer)
            np.testing.assert_allclose(traced(held, jnp.asarray(number)), f, atol=1e-6)
    assert traced._cache_size() == 3  # one program a holder, whichever layer is read


@pytest.mark.parametrize("kind", KINDS)
def test_the_strongest_features_are_the_first_of_a_sort(tiny, x, kind):
    """Of equal values the lower id."""
    stack, rows = tiny.make_dictionary(kind, layers=(2, 0)), x[None]
    f = np.asarray(stack.layer(2).encode(x))
    ids = np.argsort(-f, axis=1, kind="stable")[:, :4]
    for holder in (stack, streamed(stack), sharded(stack)):
        values, found = holder.strongest_at(2, rows, 4)
        np.testing.assert_array_equal(found[0], ids)
        np.testing.assert_allclose(values[0], np.take_along_axis(f, ids, axis=1), atol=1e-6)
        with pytest.raises(ValueError, match="needs"):
            holder.strongest_at(2, jnp.zeros((1, 2 * stack.d_in)), 4)


def test_what_is_said_of_the_arrays_is_the_same(tiny):
    stack = tiny.make_dictionary(layers=(2, 0))
    for holder in (streamed(stack), sharded(stack)):
        assert holder.config == stack.config
        assert (holder.num_features, holder.d_in, holder.d_out) == (stack.num_features, stack.d_in, stack.d_out)
        assert dictionary_digest(holder) == dictionary_digest(stack)
        for name, array in holder.arrays_at(0).items():
            np.testing.assert_array_equal(array, stack.arrays_at(0)[name])
        assert holder.targets(2) == (2,)
        assert not holder.crosses
        with pytest.raises(ValueError, match="layer 1 has no dictionary"):
            holder.encode_at(1, jnp.zeros(stack.d_in))


def test_a_fitted_holder_has_the_models_names(tiny):
    stack = tiny.make_dictionary(stream="attn_raw")
    for holder in (stack, streamed(stack)):
        own = fitted(holder, tiny.CONFIG, "tiny")
        assert own.config.stream == own.resident(2)[0].config.stream == "attn_out"
        assert holder.config.stream == "attn_raw"


def test_layers_that_differ_are_not_one_stream(tiny):
    stack = tiny.make_dictionary()
    configs = [stack.layer(0).config, dataclasses.replace(stack.layer(2).config, stream="resid_pre")]
    with pytest.raises(ValueError, match="layers 0 and 2 differ in kind or streams"):
        _ = StreamedDictionaries(configs, stack.layer, 1).config


@pytest.mark.parametrize("name", ["cross_layer", "cross_layer_skip"])
def test_rows_of_a_transcoder_that_crosses_layers_add_up(tiny, cases, name):
    with jax.enable_x64(True):
        crossing = cases.make_dictionary(tiny, name)
        x = jnp.asarray(np.random.default_rng(1).standard_normal((3, 4, tiny.CONFIG.d_model)))
        f = crossing.encode_all(x)
        written = np.zeros(x.shape)
        for layer in range(3):
            np.testing.assert_array_equal(crossing.encode_at(layer, x[layer]), f[layer])
            for target in crossing.targets(layer):
                written[target] += f[layer] @ crossing.decoder_at(layer, target)
        skip = np.einsum("ltd,ldo->lto", x, crossing.W_skip[...]) if hasattr(crossing, "W_skip") else 0
        whole = written + np.asarray(crossing.b_dec[...])[:, None] + skip
        np.testing.assert_allclose(whole, crossing.reconstruct(x), atol=1e-12)
        place, feature = np.array([0, 2, 1]), np.array([5, 5, 23])
        rows = FeatureColumns(crossing, place, feature).decoder
        for i, (layer, which) in enumerate(zip(place, feature, strict=True)):
            for target in range(3):
                own = crossing.decoder_at(layer, target)[which] if target >= layer else np.zeros(16)
                np.testing.assert_array_equal(rows[target, i], own)


@pytest.mark.parametrize("name", ["sae", "cross_layer"])
def test_what_features_of_a_layer_write_is_their_values_times_its_decoders(tiny, cases, name):
    holder = cases.make_dictionary(tiny, name)
    f = jnp.asarray(np.random.default_rng(1).standard_normal((2, 5, holder.num_features)), jnp.float32)
    for layer in holder.config.layers:
        written = jax.jit(holder.write_at)(jnp.asarray(layer), f)
        expected = {target: f @ holder.decoder_at(layer, target) for target in holder.targets(layer)}
        for target, values in enumerate(written) if holder.crosses else [(layer, written)]:
            np.testing.assert_allclose(values, expected.get(target, 0 * values), atol=1e-5)
