"""The reference shape of the benchmarks: a small LLaMA with one JumpReLU SAE a layer, random weights.

Nothing measured depends on the values, so nothing is trained.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from causeway.engine.bench.widths import Widths
from causeway.engine.dictionary.dictionary import Dictionary, DictionaryConfig
from causeway.engine.intervention.edits import FOREVER, Edit
from causeway.engine.model.config import ModelConfig, Numerics, Precision
from causeway.engine.model.transformer import Transformer


@dataclasses.dataclass(frozen=True)
class Shape(Widths):
    """What is run; the default is the reference shape."""

    prompt: int = 64
    tokens: int = 32
    selected: int = 128
    rows: int = 128
    segments: tuple[int, ...] = (16, 16)
    compute: Precision = "float32"

    @property
    def config(self) -> ModelConfig:
        """The model's."""
        return self.model_config("llama", self.prompt + self.tokens)

    @property
    def block_flops(self) -> int:
        """Operations of one token in one block, products with weights alone."""
        c = self.config
        return 2 * c.d_model * (2 * c.head_dim * (c.num_heads + c.num_kv_heads) + 3 * c.d_ff)

    @property
    def token_flops(self) -> int:
        """Operations of one token without recording."""
        return self.layers * self.block_flops + 2 * self.d_model * self.vocab

    def trial_flops(self, features: int) -> int:
        """Operations of a trial that records this many features a layer."""
        return self.tokens * (self.token_flops + 2 * self.layers * self.d_model * features)


def make_inputs(shape: Shape) -> tuple[Transformer, Dictionary, list[int]]:
    """Random weights, dictionaries and prompt."""
    transformer = Transformer(shape.config, Numerics(compute=shape.compute), rngs=nnx.Rngs(0))
    keys = jax.random.split(jax.random.key(1), 2)
    wide = (shape.layers, shape.d_model, shape.features)
    dictionary = Dictionary(
        DictionaryConfig("jumprelu", tuple(range(shape.layers))),
        W_enc=0.05 * jax.random.normal(keys[0], wide),
        b_enc=jnp.zeros(wide[::2]),
        W_dec=0.05 * jax.random.normal(keys[1], (wide[0], wide[2], wide[1])),
        b_dec=jnp.zeros(wide[:2]),
        threshold=jnp.full(wide[::2], 0.01),
    )
    prompt = np.random.default_rng(0).integers(0, shape.vocab, shape.prompt).tolist()
    return transformer, dictionary, prompt


def patched_rows(shape: Shape, count: int) -> Edit:
    """Rows that each set another feature of the middle layer to 8 from the last prompt token on."""
    ids = (np.arange(count, dtype=np.int32) % shape.features)[:, None]
    like = np.zeros_like(ids)
    values = np.zeros(ids.shape, np.float32)
    return Edit(
        layer=like + shape.layers // 2, feature=ids, writer=ids, start=like + shape.prompt - 1, stop=like + FOREVER,
        scale=values, shift=values + 8,
    )  # fmt: skip
