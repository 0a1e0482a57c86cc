"""Programs compiled before they are needed are those that run: as many, with the same results, and none twice."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from causeway.engine.devices import compilations, local_parallel
from causeway.engine.model import compile_ahead as module
from causeway.engine.model import generate
from causeway.engine.model.compile_ahead import compile_ahead
from causeway.engine.model.decode import decode_segment
from causeway.engine.model.sampling import Sampling


@pytest.fixture
def compiled():
    """Names of what is compiled meanwhile, in any thread."""
    names, listening = [], [True]
    jax.monitoring.register_event_duration_secs_listener(
        lambda event, _, fun_name="", **rest: names.append(fun_name) if "backend_compile" in event and listening else 0
    )
    yield names
    listening.clear()


def test_a_call_finds_what_was_compiled_ahead_once(compiled):
    program = jax.jit(lambda x, y: x * 3 + y["a"])
    shape = jax.ShapeDtypeStruct((5,), jnp.float32, sharding=jnp.zeros(5).sharding)
    given = jax.device_put((jnp.ones(5), {"a": jnp.ones(5)}), shape.sharding)
    compiled.clear()
    first, second = compile_ahead(program, shape, {"a": shape}), compile_ahead(program, *given)
    assert first is second
    assert first.result() is not None
    np.testing.assert_array_equal(program(*given), np.full(5, 4))
    assert compiled == ["jit(<lambda>)"]
    assert program._cache_size() == 1


def test_tables_of_jax_that_were_emptied_are_filled_again(compiled):
    program, given = jax.jit(lambda x: x + 3), jax.device_put(jnp.ones(5), jnp.zeros(5).sharding)
    first = compile_ahead(program, given)
    first.result()
    assert compile_ahead(program, given) is first
    jax.clear_caches()
    compiled.clear()
    second = compile_ahead(program, given)
    second.result()
    np.testing.assert_array_equal(program(given), np.full(5, 4))
    assert second is not first
    assert compiled == ["jit(<lambda>)"]


def test_what_compiling_raises_is_raised_where_it_is_waited_for():
    def refuses(x):
        raise ValueError("no such thing")

    with pytest.raises(ValueError, match="no such thing"):
        compile_ahead(jax.jit(refuses), jnp.ones(2)).result()


@pytest.mark.slow
@pytest.mark.parametrize("devices", [1, 2])
def test_segments_compiled_ahead_are_the_same_programs(tiny, draw, compiled, monkeypatch, devices):
    """All of one generation, in which rows end early and others take their places."""

    def drawn():
        return draw(
            tiny.make_edit(9, 1, layer=2, feature=2, scale=0.0, shift=1.0, start=8), parallel=local_parallel(devices),
            sampling=Sampling(1.375, stop_tokens=(3, 4, 5, 6)),
        )  # fmt: skip

    expected, usual = drawn(), compiled.count("jit(on_one_device_decode_segment)")
    monkeypatch.setattr(generate, "pays", lambda parallel: True)
    jax.clear_caches()
    compiled.clear()
    before = compilations(decode_segment)
    got = drawn()
    assert compiled.count("jit(on_one_device_decode_segment)") == usual == 3
    assert got.lengths.min() < 3 < got.lengths.max() == 7
    assert len(module._STARTED) == compilations(decode_segment) - before == 3
    np.testing.assert_array_equal(got.tokens, expected.tokens)
    for ours, theirs in zip(got.records, expected.records, strict=True):
        np.testing.assert_array_equal(ours.values, theirs.values)
