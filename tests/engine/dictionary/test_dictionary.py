"""One definition of encode and decode; stacks come apart into what was put in."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from causeway.engine.dictionary.activations import KINDS
from causeway.engine.dictionary.columns import FeatureColumns
from causeway.engine.dictionary.dictionary import Dictionary, DictionaryConfig, stack, take


def arrays_of(dictionary, index):
    """The arrays of one of a stack, float64."""
    names = ("W_enc", "b_enc", "W_dec", "b_dec", "threshold", "log_scale", "gate_bias", "magnitude_bias", "W_skip")
    return {n: np.asarray(getattr(dictionary, n)[...][index], np.float64) for n in names if hasattr(dictionary, n)}


def normalised(norm, x):
    """(x', mean, factor)."""
    if norm == "layer_norm":
        mean, std = x.mean(-1, keepdims=True), x.std(-1, ddof=1, keepdims=True)
        return (x - mean) / (std + 1e-5), mean, std
    if norm == "token_norm":
        size = np.linalg.norm(x, axis=-1, keepdims=True) / np.sqrt(x.shape[-1])
        return x / size, 0.0, size
    return x, 0.0, 1.0


def pursuit(x, a):
    """Four iterations, no early end."""
    out = np.zeros((len(x), len(a["W_dec"])))
    for row, f in zip(x - a["b_dec"], out, strict=True):
        for _ in range(4):
            best = np.argmax(a["W_dec"] @ row)
            value = max(a["W_dec"][best] @ row, 0)
            f[best] += value
            row = row - value * a["W_dec"][best]
    return out


def encoded(config, a, x):
    """Feature values as the definitions say."""
    x = normalised(config.input_norm, x)[0]
    p = x @ a["W_enc"] + a["b_enc"]
    cut = np.maximum(p, 0)
    if config.kind == "matching_pursuit":
        return pursuit(x, a)
    if config.kind == "jumprelu":
        return np.where(p > a["threshold"], p, 0)
    if config.kind == "gated":
        size = np.maximum(p * np.exp(a["log_scale"]) + a["magnitude_bias"], 0)
        return np.where(p + a["gate_bias"] > 0, size, 0)
    if config.kind == "groupmax":
        groups = cut.reshape(len(x), config.k, -1)
        return np.where(groups == groups.max(-1, keepdims=True), groups, 0).reshape(p.shape)
    if config.kind == "relu":
        return cut
    size = np.abs(p) if config.kind == "abstopk" else p
    kept = size >= np.sort(size, axis=-1)[:, -config.k, None]
    return np.where(kept, cut if config.kind == "topk" else p, 0)


@pytest.mark.parametrize("norm", ["none", "layer_norm", "token_norm"])
@pytest.mark.parametrize("kind", KINDS)
def test_encode_and_decode_equal_plain_numpy(tiny, kind, norm):
    x = 2 * np.random.default_rng(3).standard_normal((40, 16)) + 0.5
    with jax.enable_x64(True):
        dictionary = tiny.make_dictionary(kind, dtype="float64", input_norm=norm)
        for index in range(2):
            one, a = take(dictionary, index), arrays_of(dictionary, index)
            f = encoded(dictionary.config, a, x)
            np.testing.assert_allclose(one.encode(jnp.asarray(x)), f, atol=1e-10)
            assert 0 < (f != 0).mean() < 1
            _, mean, factor = normalised(norm, x)
            rebuilt = (f @ a["W_dec"] + a["b_dec"]) * factor + mean
            np.testing.assert_allclose(one.decode(jnp.asarray(f), jnp.asarray(x)), rebuilt, atol=1e-10)
            np.testing.assert_allclose(one.reconstruct(jnp.asarray(x)), rebuilt, atol=1e-9)
            # A unit of a feature is worth as many decoder rows as the norm took out.
            moved = one.decode(jnp.asarray(f + np.eye(f.shape[1])[5]), jnp.asarray(x)) - rebuilt
            np.testing.assert_allclose(moved, np.broadcast_to(factor * a["W_dec"][5], x.shape), atol=1e-9)


@pytest.mark.parametrize("norm", ["none", "layer_norm"])
@pytest.mark.parametrize("kind", ["relu", "jumprelu", "topk_signed"])
def test_a_transcoder_adds_its_skip_and_leaves_its_output_in_its_own_units(tiny, kind, norm):
    x = np.random.default_rng(3).standard_normal((20, 16))
    with jax.enable_x64(True):
        dictionary = tiny.make_dictionary(
            kind, dtype="float64", stream="mlp_in", write_stream="mlp_out", skip=True, input_norm=norm
        )
        one, a = take(dictionary, 1), arrays_of(dictionary, 1)
        y = encoded(dictionary.config, a, x) @ a["W_dec"] + a["b_dec"] + x @ a["W_skip"]
        np.testing.assert_allclose(one.reconstruct(jnp.asarray(x)), y, atol=1e-10)
        assert dictionary.config.is_transcoder


def test_decode_asks_for_the_input_where_the_output_depends_on_it(tiny, refuses):
    f = jnp.zeros((2, tiny.FEATURES))
    with refuses("a skip connection"):
        take(tiny.make_dictionary("relu", skip=True), 0).decode(f)
    with refuses("layer_norm of its input to undo"):
        take(tiny.make_dictionary("relu", input_norm="layer_norm"), 0).decode(f)
    # A transcoder undoes nothing, so it needs nothing.
    take(tiny.make_dictionary("relu", input_norm="layer_norm", write_stream="mlp_out"), 0).decode(f)


@pytest.mark.parametrize("kind", KINDS)
def test_a_stack_is_taken_apart_and_put_together_to_the_bit(tiny, kind):
    whole = tiny.make_dictionary(kind, layers=(4, 1, 2), skip=True)
    parts = [take(tiny.make_dictionary(kind, layers=(4, 1, 2), skip=True), i) for i in range(3)]
    for part, layer in zip(parts, (4, 1, 2), strict=True):
        part.config = dataclasses.replace(whole.config, layers=(layer,))
    again = stack(parts)
    assert again.config == whole.config
    assert (whole.num_features, whole.d_in, whole.d_out) == (24, 16, 16)
    jax.tree.map(np.testing.assert_array_equal, again, whole)


def test_take_follows_a_traced_index(tiny):
    dictionary, x = tiny.make_dictionary(), jnp.ones((2, 16))
    encode = jax.jit(lambda i: take(dictionary, i).encode(x))
    for i in range(2):
        np.testing.assert_allclose(encode(i), take(dictionary, i).encode(x), rtol=1e-6)


def test_columns_hold_the_features_asked_for(tiny):
    dictionary = tiny.make_dictionary("gated")
    columns = FeatureColumns(dictionary, np.array([[1], [0]]), np.array([[3, 7], [0, 23]]))
    for row, index in enumerate((1, 0)):
        for slot, feature in enumerate(((3, 7), (0, 23))[row]):
            np.testing.assert_array_equal(columns.encoder[row, slot], dictionary.W_enc[...][index, :, feature])
            np.testing.assert_array_equal(columns.decoder[row, slot], dictionary.W_dec[...][index, feature])
            got = [a[row, slot] for a in columns.parameters]
            assert got == [a[index, feature] for a in dictionary.elementwise_parameters()]


def test_an_sae_is_spelt_in_one_way():
    assert DictionaryConfig("relu", (0,), write_stream="resid_post") == DictionaryConfig("relu", (0,))
    transcoder = DictionaryConfig("relu", (0,), "mlp_in", write_stream="mlp_out")
    assert (transcoder.output_stream, transcoder.is_transcoder) == ("mlp_out", True)
    assert not DictionaryConfig("relu", (0,), "mlp_in").is_transcoder


def test_what_cannot_be_is_refused(tiny, refuses):
    with refuses("kind: got 'sigmoid'"):
        DictionaryConfig("sigmoid", (0,))
    with refuses("k: got 0"):
        DictionaryConfig("topk", (0,))
    with refuses("k: got 3 for kind 'relu'"):
        DictionaryConfig("relu", (0,), k=3)
    with refuses("names a layer twice"):
        DictionaryConfig("relu", (0, 0))
    with refuses("input_norm: got 'rms'"):
        DictionaryConfig("relu", (0,), input_norm="rms")
    with refuses("belong to matching_pursuit"):
        DictionaryConfig("relu", (0,), residual_threshold=0.1)
    with refuses("layer 1 has no dictionary"):
        tiny.make_dictionary().config.index_of(1)
    with refuses("differ"):
        stack([take(tiny.make_dictionary("relu"), 0), take(tiny.make_dictionary("jumprelu"), 0)])
    with refuses("differ"):
        stack([take(tiny.make_dictionary("relu"), 0), take(tiny.make_dictionary("relu", skip=True), 0)])
    blank = {"W_enc": jnp.zeros((2, 6)), "b_enc": jnp.zeros(6), "W_dec": jnp.zeros((6, 2)), "b_dec": jnp.zeros(2)}
    with refuses("got none"):
        Dictionary(DictionaryConfig("jumprelu", (0,)), **blank)
    with refuses(r"got \['threshold'\]"):
        Dictionary(DictionaryConfig("relu", (0,)), **blank, threshold=jnp.zeros(6))
    with refuses("6 features do not make 4 groups"):
        Dictionary(DictionaryConfig("groupmax", (0,), k=4), **blank)
