"""Logits of a published model by its own implementation, in torch: what a conversion is compared with.

torch is an optional package, so that it is there is asked before anything else is done.
"""

import importlib.util
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from causeway.engine.model.config import ModelConfig

NEEDED = ("torch", "transformers")


def require_torch(flag: str) -> None:
    """Refuse at once where torch or transformers is not installed.

    Args:
        flag: what asked for it, for the error.

    Raises:
        ValueError: a package is missing.
    """
    if missing := [name for name in NEEDED if importlib.util.find_spec(name) is None]:
        raise ValueError(
            f"{flag}: compares logits with {' and '.join(missing)}, not installed here; "
            f"pip install {' '.join(missing)}, or leave {flag} out"
        )


def torch_logits(directory: Path, tokens: Int[np.ndarray, "B T"]) -> Float[np.ndarray, "B T V"]:
    """Logits in float32 of the model of a directory."""
    import torch
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    # A bar of its own for reading the weights would stand in the middle of a driver's output.
    logging.disable_progress_bar()
    model = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32, attn_implementation="eager").eval()
    with torch.no_grad():
        return model(torch.tensor(tokens)).logits.numpy()


def batch_seconds(config: ModelConfig, prompts: Sequence[Sequence[int]], repeats: int, threads: int) -> float | None:
    """CPU-seconds of one padded batch through transformers' GPT-2 of that shape; None where torch is not installed.

    Args:
        config: of a GPT-2.
        prompts: token ids.
        repeats: the least of so many is taken, after a first one.
        threads: of torch; 0 leaves its own number.
    """
    if any(importlib.util.find_spec(name) is None for name in NEEDED):
        return None
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    if threads:
        torch.set_num_threads(threads)
    shape = GPT2Config(
        vocab_size=config.vocab_size, n_positions=config.max_position, n_layer=config.num_layers, n_embd=config.d_model,
        n_head=config.num_heads,
    )  # fmt: skip
    model = GPT2LMHeadModel(shape).eval()
    width = max(map(len, prompts))
    tokens = torch.tensor([[*prompt, *[0] * (width - len(prompt))] for prompt in prompts])
    mask = torch.tensor([[1] * len(prompt) + [0] * (width - len(prompt)) for prompt in prompts])
    times = []
    with torch.no_grad():
        for _ in range(repeats + 1):
            start = time.process_time()
            model(tokens, attention_mask=mask).logits.numpy()
            times.append(time.process_time() - start)
    return min(times[1:])
