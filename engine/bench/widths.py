"""The widths of the model that benchmarks run: d 512, random weights, with a dictionary of 4,096 features a layer."""

import dataclasses
from typing import Any

from causeway.engine.model.config import ModelConfig


@dataclasses.dataclass(frozen=True)
class Widths:
    """What benchmarks of this model have in common; the default is the reference shape."""

    layers: int = 8
    d_model: int = 512
    heads: int = 8
    kv_heads: int = 4
    d_ff: int = 1408
    vocab: int = 4096
    features: int = 4096

    def model_config(self, family: str, max_position: int, **further: Any) -> ModelConfig:
        """The model's, of a family."""
        return ModelConfig(
            family, self.layers, self.d_model, self.heads, self.kv_heads, self.d_model // self.heads, self.d_ff,
            self.vocab, max_position=max_position, **further,
        )  # fmt: skip
