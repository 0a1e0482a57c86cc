import dataclasses

import numpy as np
import pytest
from flax import nnx
from safetensors.numpy import save_file

from causeway.engine.model.config import Numerics
from causeway.engine.model.transformer import Transformer
from causeway.ports.files.safetensors_files import open_file
from causeway.ports.models.llama import name_map
from causeway.ports.models.weights import Part, TensorMap, export_tensors, load_transformer

D, H, K = 8, 2, 4


@pytest.fixture
def whole_heads(transformer) -> Transformer:
    """As many key heads as query heads, so that the three are equal pieces."""
    config = dataclasses.replace(transformer.config, num_kv_heads=H)
    return Transformer(config, Numerics(), rngs=nnx.Rngs(0))


def fused(config, shape, transposed, parts):
    """The LLaMA map with query, key and value in one tensor."""
    kept = [entry for entry in name_map(config) if not any(f".{x}_proj" in entry.tensor for x in "qkv")]
    names = ("query", "key", "value")
    maps = [
        TensorMap("{layer}.qkv", f"blocks.attention.{n}", shape, transposed, p)
        for n, p in zip(names, parts, strict=True)
    ]
    return [*kept, *maps]


LAYOUTS = {
    "side by side": lambda index: ((D, 3 * D), False, Part(1, index, 3)),
    "rows after rows": lambda index: ((3 * D, D), True, Part(0, index, 3)),
    "alternating rows": lambda index: ((3 * D, D), True, Part(0, index, 3, width=K)),
    "alternating columns": lambda index: ((D, 3 * D), False, Part(1, index, 3, width=K)),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_part_is_the_piece_numpy_would_cut(layout):
    shape, transposed, part = LAYOUTS[layout](1)
    published = np.arange(3 * D * D).reshape(shape)
    matrix = published.T if transposed else published
    columns = [h * 3 * K + K + k for h in range(H) for k in range(K)] if part.width else np.arange(D, 2 * D)
    view = TensorMap("t", "p", shape, transposed, part).view(published, (D, H, K))
    np.testing.assert_array_equal(view, matrix[:, columns].reshape(D, H, K))
    assert np.shares_memory(view, published)


def test_a_split_second_axis_stays_in_order_when_turned():
    published = np.arange(3 * D * D).reshape(D, 3 * D)
    view = TensorMap("t", "p", (D, 3 * D), True, Part(1, 2, 3, width=K)).view(published, (H, K, D))
    np.testing.assert_array_equal(view, published.reshape(D, H, 3, K)[:, :, 2].transpose(1, 2, 0))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_fused_tensors_come_back_as_written(tmp_path, whole_heads, equal_trees, layout):
    shape, transposed, _ = LAYOUTS[layout](0)
    maps = fused(whole_heads.config, shape, transposed, [LAYOUTS[layout](index)[2] for index in range(3)])
    tensors = export_tensors(whole_heads, maps, "float32")
    assert tensors["1.qkv"].shape == shape
    save_file(tensors, tmp_path / "model.safetensors")
    loaded = load_transformer(whole_heads.config, Numerics(), open_file(tmp_path / "model.safetensors"), maps)
    assert equal_trees(loaded, whole_heads)


@pytest.mark.parametrize(
    "indices", [(0, 1, 1), (0, 1, 3), (0, 0, 0)], ids=["one twice", "one past the end", "one for all"]
)
def test_parts_that_do_not_make_up_the_tensor_are_refused(whole_heads, indices):
    maps = fused(whole_heads.config, (3 * D, D), True, [Part(0, index, 3) for index in indices])
    with pytest.raises(ValueError, match=r"do not make up \{layer\}\.qkv exactly"):
        load_transformer(whole_heads.config, Numerics(), {}, maps)
