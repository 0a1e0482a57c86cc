"""Weights in 8 bits: what a product makes of them, what reads them sees, and what shapes say of their size."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from causeway.engine import memory
from causeway.engine.mesh import make_mesh
from causeway.engine.model.capacity import check_fits, weight_bytes
from causeway.engine.model.config import ModelConfig, Numerics
from causeway.engine.model.forward import next_token_logits
from causeway.engine.model.quantised import Quantised, quantise
from causeway.engine.model.quantised_fill import filled_weight
from causeway.engine.neurons import Neurons
from causeway.engine.scaled_neurons import ScaledNeurons, with_scaled
from tests.engine.model.eight_bits import INT8, reader, rounded

LLAMA_8B = ModelConfig(
    family="llama", num_layers=32, d_model=4096, num_heads=32, num_kv_heads=8, head_dim=128, d_ff=14336,
    vocab_size=128256, max_position=131072, tied_embeddings=False,
)  # fmt: skip


@pytest.mark.parametrize("contracted", [(-2,), (-1,), (-3, -2)])
def test_every_weight_is_within_half_a_scale(contracted):
    matrix = np.random.default_rng(0).normal(size=(3, 5, 7)).astype(np.float32)
    matrix[0, 0] = 0
    values, scale = quantise(matrix.copy(), contracted)
    assert values.dtype == np.int8
    assert np.abs(values).max() == 127
    assert (np.abs(matrix - values * scale) <= scale / 2 * (1 + 1e-6)).all()


def test_a_sum_of_zeros_has_a_scale(tiny):
    values, scale = quantise(np.zeros((4, 2), np.float32), (-2,))
    assert not values.any()
    assert np.isfinite(scale).all()


@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma2", "qwen3"])
def test_a_pass_is_that_of_the_weights_that_are_read(tiny, family):
    """The scale on a product's output is the scale on the weight; embeddings, tied or not, too."""
    made, floats = rounded(tiny.make_transformer(**tiny.FAMILIES[family]))
    tokens = jnp.asarray(tiny.PROMPT)[None]
    np.testing.assert_allclose(next_token_logits(made, tokens), next_token_logits(floats, tokens), atol=2e-5)


def test_what_reads_weights_sees_floats(tiny):
    made, floats = rounded(tiny.make_transformer())
    for name in ("query", "key", "value"):
        own, known = getattr(made.blocks.attention, name), getattr(floats.blocks.attention, name)
        np.testing.assert_array_equal(own, known)
    np.testing.assert_array_equal(made.embedding[...], floats.embedding[...])


def test_a_weight_is_filled_in_blocks_and_parts_as_at_once(monkeypatch):
    matrix = np.random.default_rng(1).normal(size=(4, 6, 8)).astype(np.float32)
    expected = quantise(matrix.copy(), (-2,))
    monkeypatch.setattr("causeway.engine.model.quantised_fill.BLOCK_BYTES", 80)
    read = reader(matrix)
    mesh = make_mesh(1, 2)
    for axis in (None, 1, 2):
        # Whole, split by what products sum, or by output channels.
        spec = PartitionSpec(*("model" if place == axis else None for place in range(3)))

        def placed(leaf, spec=spec, axis=axis):
            fits = axis == 2 or leaf.dtype == np.int8
            where = NamedSharding(mesh, spec if fits else PartitionSpec())
            return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=where)

        made = filled_weight(jax.tree.map(placed, jax.eval_shape(lambda: Quantised(matrix.shape, (-2,)))), read)
        np.testing.assert_array_equal(made.values[...], expected[0])
        np.testing.assert_array_equal(made.scale[...], expected[1])


def test_eight_billion_weights_take_eight_gigabytes():
    assert weight_bytes(LLAMA_8B, INT8) / 1e9 == pytest.approx(8.04, abs=0.01)
    assert weight_bytes(LLAMA_8B, Numerics("bfloat16")) / 1e9 == pytest.approx(16.06, abs=0.01)


def test_weights_that_do_not_fit_are_refused_with_what_would(monkeypatch):
    """Off the CPU with the largest array of the stack of blocks, which is there twice for a moment."""
    monkeypatch.setattr(memory, "in_host_memory", lambda: False)
    monkeypatch.setattr(memory, "memory_there_bytes", lambda: int(12e9))
    with pytest.raises(
        ValueError, match=r"39\.6 GB in float32 .* has 12 GB; what would fit: --storage=int8 \(9\.92 GB\)"
    ):
        check_fits(LLAMA_8B, Numerics())
    check_fits(LLAMA_8B, INT8)
    monkeypatch.setattr(memory, "memory_there_bytes", lambda: int(6e9))
    with pytest.raises(ValueError, match=r"9\.92 GB in int8 .* --mesh=model:2 on 2 such devices \(4\.96 GB each\)"):
        check_fits(LLAMA_8B, INT8)


def test_the_devices_of_a_host_share_its_memory(monkeypatch):
    monkeypatch.setattr(memory, "memory_there_bytes", lambda: int(20e9))
    check_fits(LLAMA_8B, Numerics("bfloat16"))  # on the default device alone, however many there are
    check_fits(LLAMA_8B, INT8, make_mesh(2))
    check_fits(LLAMA_8B, Numerics("bfloat16"), make_mesh(1, 2))
    with pytest.raises(ValueError, match=r"each device, which has 10 GB; what would fit: --storage=int8 \(8\.04 GB\)$"):
        check_fits(LLAMA_8B, Numerics("bfloat16"), make_mesh(2))


def test_scaled_neurons_are_those_of_the_weights_that_are_read(tiny):
    made, floats = rounded(tiny.make_transformer())
    scaled = ScaledNeurons(Neurons(np.array([1, 2]), np.array([5, 0])), np.array([2.0, 0.0], np.float32))
    tokens = jnp.asarray(tiny.PROMPT)[None]
    changed, expected = (next_token_logits(with_scaled(model, scaled), tokens) for model in (made, floats))
    np.testing.assert_allclose(changed, expected, atol=2e-5)
    assert np.abs(changed - next_token_logits(made, tokens)).max() > 1e-3


def test_plans_tell_the_two_apart(tiny):
    plain = tiny.make_transformer()
    assert dataclasses.asdict(rounded(plain)[0].numerics)["storage"] == "int8"
