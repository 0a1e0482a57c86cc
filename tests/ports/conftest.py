"""A tiny LLaMA directory to tamper with, and what a dictionary on disk computes."""

import dataclasses
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from causeway.engine.model.config import ModelConfig, Numerics
from causeway.engine.model.transformer import Transformer
from causeway.ports.models.llama import save_llama
from causeway.ports.models.site_names import ANY_MODEL, SiteNames, names_of
from tests.ports.dictionary_files import dictionary_of

CONFIG = ModelConfig(
    family="llama", num_layers=2, d_model=8, num_heads=2, num_kv_heads=1, head_dim=4, d_ff=12, vocab_size=16,
    max_position=32, tied_embeddings=False,
)  # fmt: skip


@pytest.fixture
def transformer() -> Transformer:
    """Random, untied, no biases."""
    return Transformer(CONFIG, Numerics(), rngs=nnx.Rngs(0))


@pytest.fixture
def model_dir(tmp_path: Path, transformer: Transformer) -> Path:
    """The same model on disk, without a tokenizer."""
    save_llama(tmp_path / "model", transformer)
    return tmp_path / "model"


@pytest.fixture
def edit_config(model_dir: Path):
    """Change fields of the directory's config.json; None deletes."""

    def edit(**changes) -> None:
        path = model_dir / "config.json"
        config = json.loads(path.read_text()) | changes
        path.write_text(json.dumps({k: v for k, v in config.items() if v is not None}))

    return edit


@pytest.fixture
def equal_trees():
    """Whether two pytrees have equal leaves, to the bit."""

    def equal(a, b) -> bool:
        pairs = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
        return all(x.dtype == y.dtype and bool((x == y).all()) for x, y in pairs)

    return equal


@pytest.fixture
def family_names():
    """`family_names(family)`: the names of a model of a family, of any model for None."""

    def names(family: str | None, **changes) -> SiteNames:
        changes |= {"post_norms": family == "gemma2", "parallel_blocks": family == "gpt_neox"} | changes
        return names_of(dataclasses.replace(CONFIG, family=family, **changes)) if family else ANY_MODEL

    return names


@pytest.fixture
def values_of():
    """`values_of(source, x)`: feature values and reconstruction in float64."""

    def values(source, x):
        with jax.enable_x64(True):
            dictionary, x = dictionary_of(source, np.float64), jnp.asarray(x, jnp.float64)
            f = dictionary.encode(x)
            return np.asarray(f), np.asarray(dictionary.decode(f, x))

    return values
