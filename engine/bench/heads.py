"""What ablating every head of a model costs: each alone, on many prompts, at the last token and at all of them.

A row is one head of one prompt. It starts from the prompt's clean pass at the head's layer, and runs T tokens (S = 1
where the last token alone is edited) through the blocks from there up. Operations counted are those of products with
weights that no order of work avoids:

    2 (parameters of a block) (P T L + P H S sum_l (L - l)),    l = 0 .. L - 1

the clean passes and the rows; no logits are formed. `cw.run` of the same arms, which runs every row from the bottom and
forms its logits, is timed on a few of them and multiplied.
"""

import dataclasses

import numpy as np

from causeway.engine.analyses.attribute.targets import logit_difference
from causeway.engine.analyses.lens.effects import effects
from causeway.engine.bench.clock import now
from causeway.engine.bench.gemm import gemm_rate
from causeway.engine.bench.run import best
from causeway.engine.calls.run import run
from causeway.engine.intervention.requests import UnitEdit
from causeway.engine.intervention.scope import Scope
from causeway.engine.model.config import ModelConfig
from causeway.engine.model.handle import Model
from causeway.engine.outcome.clean_passes import BATCH_TOKENS

# Rows of `cw.run` that stand for all.
SAMPLE = 32


@dataclasses.dataclass(frozen=True)
class HeadsShape:
    """What is run: random prompts of so many tokens."""

    prompts: int = 100
    tokens: int = 16

    def make_prompts(self, vocabulary: int) -> list[list[int]]:
        """Token ids; nothing measured depends on which."""
        return np.random.default_rng(0).integers(0, vocabulary, (self.prompts, self.tokens)).tolist()


def block_flops(config: ModelConfig) -> int:
    """Operations of one token in one block, products with weights alone."""
    attention = 2 * config.head_dim * (config.num_heads + config.num_kv_heads)
    return 2 * config.d_model * (attention + (3 if config.gated_mlp else 2) * config.d_ff)


def needed_flops(shape: HeadsShape, config: ModelConfig, tokens: int) -> int:
    """Operations of all heads on all prompts where so many tokens of each row change."""
    layers = config.num_layers
    clean = shape.tokens * layers
    rows = config.num_heads * tokens * layers * (layers + 1) // 2
    return block_flops(config) * shape.prompts * (clean + rows)


def measure_heads(shape: HeadsShape, model: Model, repeats: int, everywhere: bool) -> dict[str, float]:
    """CPU-seconds of all heads on all prompts at the last token, and at all tokens where asked; and of `run`."""
    config, prompts = model.config, shape.make_prompts(model.config.vocab_size)
    seconds = _seconds(model, prompts, "last_prompt", repeats)
    rows = config.num_layers * config.num_heads * shape.prompts
    rate = gemm_rate(BATCH_TOKENS, config.d_model, config.d_ff)
    figures = {
        "rows": float(rows),
        "last_token_cpu_seconds": seconds,
        "gemm_gflops": rate / 1e9,
        "gemm_fraction": needed_flops(shape, config, 1) / seconds / rate,
        "run_cpu_seconds": _run_seconds(model, prompts[0]) * rows,
    }
    if everywhere:
        seconds = _seconds(model, prompts, "all", 1)
        figures |= {
            "all_tokens_cpu_seconds": seconds,
            "gemm_fraction_all_tokens": needed_flops(shape, config, shape.tokens) / seconds / rate,
        }
    return figures


def _seconds(model: Model, prompts: list[list[int]], scope: Scope, repeats: int) -> float:
    """Least time of some repetitions, after one prompt that compiles."""
    config, times = model.config, []
    arms = [[UnitEdit(at, head, scope=scope)] for at in range(config.num_layers) for head in range(config.num_heads)]
    effects(model, prompts, logit_difference(0, 1), arms[:1])
    for _ in range(repeats):
        start = now()
        effects(model, prompts, logit_difference(0, 1), arms)
        times.append(now() - start)
    return min(times)


def _run_seconds(model: Model, prompt: list[int]) -> float:
    """Of one row of `cw.run`, with the logits of its last token."""
    arms = [[UnitEdit(0, row % model.config.num_heads)] for row in range(SAMPLE)]
    return best(lambda: run(model, [prompt], arms=arms, logits="last"), 2) / SAMPLE
