"""What a person does with a stack in a notebook: look at it, take a layer, encode with it; and what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from causeway.engine.dictionary.dictionary import take
from causeway.engine.dictionary.placement import StreamedDictionaries


@pytest.fixture(scope="module")
def saes(tiny):
    return tiny.make_dictionary()


def test_a_stack_gives_the_dictionary_of_a_model_layer(saes):
    assert len(saes) == len(saes.config.layers) == 2
    for place, layer in enumerate(saes.config.layers):
        one, same = saes.layer(layer), saes[layer]
        assert one.config.layers == (layer,)
        assert not one.stacked
        np.testing.assert_array_equal(one.W_enc[...], take(saes, place).W_enc[...])
        np.testing.assert_array_equal(same.W_dec[...], one.W_dec[...])
    assert [layer for layer, _ in saes] == list(saes.config.layers)


def test_encode_and_decode_take_one_layer_and_say_so(saes):
    x = jnp.ones((4, saes.d_in))
    one = saes.layer(saes.config.layers[0])
    values = one.encode(x)
    assert one.decode(values).shape == (4, saes.d_out)
    for call in (lambda: saes.encode(x), lambda: saes.decode(values)):
        with pytest.raises(ValueError, match=r"this is a stack of layers .*\.layer\(LAYER\)"):
            call()
    with pytest.raises(ValueError, match=r"encode: x has shape \(4, 3\); needs \[\.\.\., \d+\]"):
        one.encode(jnp.ones((4, 3)))
    with pytest.raises(ValueError, match="decode: f has shape"):
        one.decode(values[:, 1:])
    with pytest.raises(ValueError, match="is one dictionary"):
        one.layer(0)
    with pytest.raises(ValueError, match="layer 1 has no dictionary"):
        saes.layer(1)


def test_reprs_are_short(tiny, cases, saes):
    model = tiny.make_transformer()
    crossing = cases.make_dictionary(tiny, "cross_layer")
    streamed = StreamedDictionaries([saes.layer(layer).config for layer in saes.config.layers], lambda _: None, 1)
    for thing in (saes, model, crossing, streamed):
        assert len(repr(thing).splitlines()) == 1
        assert len(repr(thing)) < 160
        assert str(thing) == repr(thing)
    assert "layers 0, 2" in repr(saes)
    assert f"{sum(leaf.size for leaf in jax.tree.leaves(model)):,} parameters" in repr(model)
