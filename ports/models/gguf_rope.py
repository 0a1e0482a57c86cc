"""Rotary positions in GGUF files, in Hugging Face's words.

Llama 3's stretched frequencies are stored as a tensor of divisors, without the numbers that they come from: they are
compared with those of the published models. Phi-3's two sets of divisors are tensors too.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from causeway.engine.model.config import RopeScaling
from causeway.engine.model.rope import stretched
from causeway.ports.files.gguf_files import GgufFile

SCALING = "rope.scaling."
DIVISORS = "rope_freqs.weight"
# Of Phi-3, for prompts up to the original context and beyond it.
LONG_DIVISORS = {"short_factor": "rope_factors_short.weight", "long_factor": "rope_factors_long.weight"}
TENSORS = (DIVISORS, *LONG_DIVISORS.values())
# (factor, original context) of Llama 3.1 and 3.2, whose low and high frequency factors are 1 and 4.
LLAMA3_STRETCHES = ((8.0, 8192), (32.0, 8192))


def rope_fields(file: GgufFile, given: dict[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of config.json: how frequencies are stretched, and what part of a head turns where it is not all of it.

    Args:
        file: with the tensors of divisors, if it has any.
        given: the architecture's keys; those that are taken are removed.
        values: the fields of config.json so far.

    Raises:
        ValueError: divisors of a stretch that is not known.
    """
    found: dict[str, Any] = {}
    turns, width = given.pop("rope.dimension_count", None), head_width(values)
    if turns not in (None, width):
        found["partial_rotary_factor"] = turns / width
    kind, original = given.pop(f"{SCALING}type", "none"), given.pop(f"{SCALING}original_context_length", None)
    stretch: dict[str, Any] = {}
    if LONG_DIVISORS["short_factor"] in file.tensors:
        stretch = {name: file.tensors[tensor].read().tolist() for name, tensor in LONG_DIVISORS.items()}
        stretch |= {"rope_type": "longrope", "original_max_position_embeddings": original}
        stretch["attention_factor"] = given.pop(f"{SCALING}attn_factor", None)
    elif kind != "none":
        stretch = {"rope_type": kind, "factor": given.pop(f"{SCALING}factor", None)}
        stretch |= {"original_max_position_embeddings": original} if kind == "yarn" else {}
    elif DIVISORS in file.tensors:
        stretch = _llama3_stretch(file, float(values.get("rope_theta", 10000.0)), width)
    return found | ({"rope_scaling": stretch} if stretch else {})


def _llama3_stretch(file: GgufFile, theta: float, width: int) -> dict[str, Any]:
    """The published stretch whose divisors these are."""
    divisors = file.tensors[DIVISORS].read()
    base = theta ** -(np.arange(0, width, 2) / width)
    for factor, original in LLAMA3_STRETCHES:
        scaling = RopeScaling("llama3", factor, 1.0, 4.0, original)
        if divisors.shape == base.shape and np.allclose(base / stretched(base, scaling), divisors, rtol=1e-4):
            return {
                "rope_type": "llama3", "factor": factor, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                "original_max_position_embeddings": original,
            }  # fmt: skip
    raise ValueError(
        f"{file.path}: tensor {DIVISORS} divides rotary frequencies otherwise than Llama 3.1 and 3.2 do; "
        "use the model's folder in the Hugging Face layout"
    )


def head_width(values: Mapping[str, Any]) -> int:
    """Of a family with rotary positions; 0 where the file does not say."""
    if "head_dim" in values:
        return values["head_dim"]
    heads = values.get("num_attention_heads", 0)
    return values.get("hidden_size", 0) // heads if heads else 0
