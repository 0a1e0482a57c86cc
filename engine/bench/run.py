"""What `cw.run` of many different prompts costs beside one padded batch of them through the same pass.

The shape is GPT-2 small's, random weights; 64 prompts of 17 to 32 tokens share the bucket of 32.
"""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from causeway.engine.bench.clock import now
from causeway.engine.calls.run import run
from causeway.engine.model import forward
from causeway.engine.model.config import ModelConfig, Numerics
from causeway.engine.model.handle import Model
from causeway.engine.model.transformer import Transformer


@dataclasses.dataclass(frozen=True)
class RunShape:
    """What is run; the default is GPT-2 small's shape."""

    layers: int = 12
    d_model: int = 768
    heads: int = 12
    vocab: int = 50257
    prompts: int = 64
    tokens: int = 32

    @property
    def config(self) -> ModelConfig:
        """The model's."""
        return ModelConfig(
            "gpt2", self.layers, self.d_model, self.heads, self.heads, self.d_model // self.heads, 4 * self.d_model,
            self.vocab, max_position=1024, norm="layer", positions="learned", activation="gelu_tanh", gated_mlp=False,
            attention_bias=True, mlp_bias=True,
        )  # fmt: skip

    def make_prompts(self) -> list[list[int]]:
        """Different prompts of the upper half of one bucket."""
        rng = np.random.default_rng(0)
        lengths = rng.integers(self.tokens * 3 // 4 + 1, self.tokens + 1, self.prompts)
        return [rng.integers(0, self.vocab, length).tolist() for length in lengths]


def measure_run(shape: RunShape, repeats: int) -> dict[str, float]:
    """CPU-seconds of `run` with all logits and with each prompt's last, and of one padded batch with all logits."""
    model = Model(Transformer(shape.config, Numerics(), rngs=nnx.Rngs(0)), None, "random", "of the benchmark")
    prompts = shape.make_prompts()
    lengths = jnp.asarray([len(prompt) for prompt in prompts])
    padded = jnp.asarray([prompt + [0] * (shape.tokens - len(prompt)) for prompt in prompts], jnp.int32)

    def batch() -> object:
        return jax.device_get(forward.run(model.transformer, padded, lengths=lengths).logits)

    whole, last = best(lambda: run(model, prompts), repeats), best(lambda: run(model, prompts, logits="last"), repeats)
    one, padded_batch = best(lambda: run(model, prompts[0]), repeats), best(batch, repeats)
    return {
        "prompts": float(shape.prompts), "run_cpu_seconds": whole, "run_last_logits_cpu_seconds": last,
        "one_prompt_cpu_seconds": one, "padded_batch_cpu_seconds": padded_batch, "run_over_batch": whole / padded_batch,
    }  # fmt: skip


def best(work: Callable[[], object], repeats: int) -> float:
    """Least process time on CPU, wall time elsewhere, after one call that compiles."""
    work()
    times = []
    for _ in range(repeats):
        start = now()
        work()
        times.append(now() - start)
    return min(times)
