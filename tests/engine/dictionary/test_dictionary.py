"""One definition of encode and decode; stacks come apart into what was put in."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from causeway.engine.dictionary.activations import KINDS
from causeway.engine.dictionary.dictionary import DictionaryConfig, FeatureColumns, stack, take


@pytest.mark.parametrize("kind", KINDS)
def test_encode_and_decode_equal_plain_numpy(tiny, plain, kind):
    dictionary = tiny.make_dictionary(kind)
    x = np.random.default_rng(3).standard_normal((5, 16)).astype(np.float32)
    for index in range(2):
        one = take(dictionary, index)
        f = np.asarray(one.encode(x))
        if kind == "topk":
            p = x @ np.asarray(one.W_enc[...]) + np.asarray(one.b_enc[...])
            expected = np.where(p >= np.sort(p, axis=-1)[:, -4, None], np.maximum(p, 0), 0)
        else:
            expected = [
                [plain.feature(dictionary, index, i, row.astype(float)) for i in range(tiny.FEATURES)] for row in x
            ]
        np.testing.assert_allclose(f, expected, atol=1e-5)
        rebuilt = f @ np.asarray(one.W_dec[...]) + np.asarray(one.b_dec[...])
        np.testing.assert_allclose(one.decode(f), rebuilt, atol=1e-5)
        assert 0 < (f > 0).mean() < 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_stack_is_taken_apart_and_put_together_to_the_bit(tiny, kind):
    whole = tiny.make_dictionary(kind, layers=(4, 1, 2))
    parts = [take(tiny.make_dictionary(kind, layers=(4, 1, 2)), i) for i in range(3)]
    for part, layer in zip(parts, (4, 1, 2), strict=True):
        part.config = DictionaryConfig(kind, (layer,), "resid_post", 4 * (kind == "topk"))
    again = stack(parts)
    assert again.config == whole.config
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


def test_what_cannot_be_is_refused(tiny, refuses):
    with refuses("kind: got 'sigmoid'"):
        DictionaryConfig("sigmoid", (0,))
    with refuses("k: got 0"):
        DictionaryConfig("topk", (0,))
    with refuses("names a layer twice"):
        DictionaryConfig("relu", (0, 0))
    with refuses("layer 1 has no dictionary"):
        tiny.make_dictionary().config.index_of(1)
    with refuses("differ"):
        stack([take(tiny.make_dictionary("relu"), 0), take(tiny.make_dictionary("jumprelu"), 0)])
