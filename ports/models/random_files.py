"""Files of a published shape with random values: what loading is measured on.

The model is Llama-3.1-8B cut in depth, and in vocabulary to a quarter, so that no single matrix outweighs the blocks;
its dictionary is an SAE of 8 times the width, as SAELens stores it. Values repeat after 8 MiB, because nothing that
is measured depends on them and drawing them all would take longer than the measurement.
"""

import json
from pathlib import Path

import ml_dtypes
import numpy as np
from safetensors.numpy import save_file

from causeway.engine.model.config import ModelConfig
from causeway.ports.dictionaries.saelens import CONFIG, WEIGHTS
from causeway.ports.files.safetensors_files import INDEX
from causeway.ports.models.llama import config_json, name_map

VALUES = 1 << 22
DTYPE = np.dtype(ml_dtypes.bfloat16)


def llama_shape(layers: int) -> ModelConfig:
    """Llama-3.1-8B with another depth and a quarter of its vocabulary."""
    return ModelConfig(
        family="llama", num_layers=layers, d_model=4096, num_heads=32, num_kv_heads=8, head_dim=128, d_ff=14336,
        vocab_size=32064, max_position=131072, rope_theta=500000.0, tied_embeddings=False,
    )  # fmt: skip


def write_random_model(directory: Path, config: ModelConfig) -> int:
    """A LLaMA in bfloat16, one file for what is not in a block and one for each block.

    Returns:
        Bytes of its largest tensor.
    """
    directory.mkdir(parents=True)
    values, largest = _values(), 0
    files: dict[str, str] = {}
    for file in range(config.num_layers + 1):
        shard = f"model-{file + 1:05d}-of-{config.num_layers + 1:05d}.safetensors"
        entries = [entry for entry in name_map(config) if entry.layered == (file > 0)]
        tensors = {entry.names(config)[max(file - 1, 0)]: np.resize(values, entry.shape) for entry in entries}
        save_file(tensors, directory / shard, metadata={"format": "pt"})
        files |= dict.fromkeys(tensors, shard)
        largest = max(largest, *(tensor.nbytes for tensor in tensors.values()))
    (directory / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": files}), encoding="utf-8")
    (directory / "config.json").write_text(json.dumps(config_json(config, DTYPE.name)), encoding="utf-8")
    return largest


def write_random_dictionary(directory: Path, layers: int, width: int, features: int) -> int:
    """JumpReLU SAEs of the residual stream in bfloat16, one folder a layer.

    Returns:
        Bytes of the largest tensor.
    """
    values = _values()
    shapes = {"W_enc": (width, features), "W_dec": (features, width), "b_enc": (features,), "b_dec": (width,)}
    for layer in range(layers):
        folder = directory / f"layer{layer}"
        folder.mkdir(parents=True)
        tensors = {name: np.resize(values, shape) for name, shape in (shapes | {"threshold": (features,)}).items()}
        save_file(tensors, folder / WEIGHTS)
        config = {
            "architecture": "jumprelu", "d_in": width, "d_sae": features, "dtype": DTYPE.name,
            "apply_b_dec_to_input": False, "normalize_activations": "none", "reshape_activations": "none",
            "metadata": {"sae_lens_version": "6.0.0", "hook_name": f"blocks.{layer}.hook_resid_post"},
        }  # fmt: skip
        (folder / CONFIG).write_text(json.dumps(config), encoding="utf-8")
    return width * features * DTYPE.itemsize


def _values() -> np.ndarray:
    return (0.02 * np.random.default_rng(0).standard_normal(VALUES, np.float32)).astype(DTYPE)
