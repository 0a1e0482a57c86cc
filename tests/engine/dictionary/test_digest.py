"""The hash of dictionaries: of their content, made once."""

import copy
import gc
import weakref

import jax
import jax.numpy as jnp
import pytest

from causeway.engine.dictionary import digest
from causeway.engine.dictionary.digest import dictionary_digest


@pytest.fixture
def hashed(monkeypatch):
    """Counts the arrays that are hashed."""
    calls, plain = [], digest.array_sha256
    monkeypatch.setattr(digest, "array_sha256", lambda array: calls.append(array.shape) or plain(array))
    return calls


def test_it_is_made_once_and_again_where_an_array_changed(tiny, hashed):
    dictionary = tiny.make_dictionary()
    first = dictionary_digest(dictionary)
    count = len(hashed)
    assert count == 2 * 5  # two layers of five arrays
    assert dictionary_digest(dictionary) == first
    assert len(hashed) == count
    dictionary.b_dec[...] = dictionary.b_dec[...].at[1, 0].add(1)
    assert dictionary_digest(dictionary) != first


def test_content_decides_and_not_the_object_or_its_place(tiny):
    dictionary = tiny.make_dictionary()
    moved = jax.device_put(dictionary, jax.devices()[1])
    assert dictionary_digest(copy.copy(dictionary)) == dictionary_digest(moved) == dictionary_digest(dictionary)
    assert dictionary_digest(tiny.make_dictionary(stream="resid_pre")) != dictionary_digest(dictionary)
    wider = jax.tree.map(lambda a: a.astype(jnp.bfloat16), dictionary)
    assert dictionary_digest(wider) != dictionary_digest(dictionary)


def test_dictionaries_that_cross_layers_have_one(tiny, cases):
    crossing = cases.make_dictionary(tiny, "cross_layer")
    first = dictionary_digest(crossing)
    crossing.W_dec[2][...] = crossing.W_dec[2][...] + 1
    assert dictionary_digest(crossing) != first


@pytest.mark.slow
def test_a_hash_does_not_keep_its_dictionary(tiny):
    dictionary = tiny.make_dictionary()
    dictionary_digest(dictionary)
    gone = weakref.ref(dictionary)
    del dictionary
    gc.collect()
    assert gone() is None
