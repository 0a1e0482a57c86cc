"""Prefill and segments: the cache is the keys and values of the whole pass, in another layout."""

import jax
import jax.numpy as jnp
import numpy as np

from causeway.engine.model.cache import empty_segment, prefill
from causeway.engine.model.forward import run


def test_prefill_is_the_whole_pass_in_decoding_layout(tiny, transformer):
    tokens = jnp.asarray(np.pad(tiny.PROMPT, (0, 7)))
    prefix = prefill(transformer, tokens, jnp.int32(9))
    keys, values = run(transformer, tokens[None], lengths=jnp.array([9]), keep_cache=True).cache
    np.testing.assert_allclose(prefix.keys, np.einsum("ltgk->lgkt", keys[:, 0]), atol=1e-6)
    np.testing.assert_allclose(prefix.values, np.einsum("ltgk->lgtk", values[:, 0]), atol=1e-6)
    np.testing.assert_array_equal(prefix.layer(1).mask, np.arange(16) < 9)


def test_the_padding_of_a_prefix_does_not_change_a_bit_of_it(tiny, transformer):
    one, other = (
        prefill(transformer, jnp.asarray(np.pad(tiny.PROMPT, (0, 7), constant_values=c)), jnp.int32(9)) for c in (0, 23)
    )
    np.testing.assert_array_equal(one.keys[..., :9], other.keys[..., :9])
    np.testing.assert_array_equal(one.values[:, :, :9], other.values[:, :, :9])
    assert (one.keys[..., 9:] != other.keys[..., 9:]).any()


def test_a_written_step_stands_where_it_was_written_and_the_rest_is_hidden(tiny, transformer):
    segment = empty_segment(transformer, rows=5, length=4, first=1)
    key, value = jax.random.normal(jax.random.key(0), (2, 2, 5, 4))
    written = segment.write(1, jnp.int32(2), key, value)
    np.testing.assert_array_equal(written.keys[1][:, :, 2], key)
    np.testing.assert_array_equal(written.values[1][:, :, 2], value)
    assert not written.keys[0].any()
    assert not np.delete(written.keys[1], 2, axis=2).any()
    assert written.length == 4
    np.testing.assert_array_equal(written.layer(1, 3).mask, [False, True, True, False])
