"""Logits of a published model by its own implementation, in torch: what a conversion is held against.

torch is an optional package, so that it is there is asked before anything else is done.
"""

import importlib.util
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

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
