"""Shapes of models and dictionaries, from configurations and headers alone, and how fast this machine is."""

import functools
import json
import math
import subprocess
import sys
from typing import Any

from causeway.engine.analyses.study.costs import IMPORT_SECONDS, DictionaryShape, Machine, ModelShape

# Numbers read a second from files, on the machine of `costs`: of GGUF files each is computed.
_READING, _READING_GGUF = 250e6, 50e6
_IMPORT = "import time, jax; print(time.process_time())"


@functools.cache
def machine() -> Machine:
    """This machine. Cost: two seconds."""
    command = [sys.executable, "-P", "-c", _IMPORT]
    # The faster of two, as something else may run.
    seconds = min(float(subprocess.run(command, capture_output=True, text=True, check=True).stdout) for _ in range(2))
    from causeway.engine.bench.gemm import gemm_rate

    return Machine(seconds / IMPORT_SECONDS, gemm_rate(seconds=0.1))


@functools.cache
def model_shape(reference: str) -> ModelShape:
    """A model, from its configuration."""
    from causeway.engine.analyses.inspect.forecast import model_numbers
    from causeway.ports.models.load import model_directory, open_weights

    directory = model_directory(reference)
    config = open_weights(directory).config
    logits = config.vocab_size * config.d_model
    heads = config.num_heads + config.num_kv_heads
    gguf = directory.is_file() or any(directory.glob("*.gguf"))
    return ModelShape(
        model_numbers(config), logits, logits * (1 if config.tied_embeddings else 2),
        config.num_layers * config.d_model * config.head_dim * heads, config.num_layers, config.d_model,
        config.num_heads, config.num_layers * config.d_ff, config.max_position,
        _READING_GGUF if gguf else _READING,
    )  # fmt: skip


@functools.cache
def dictionary_shape(reference: str, layers: tuple[str, ...]) -> DictionaryShape:
    """Dictionaries, from their headers."""
    from causeway.ports.dictionaries.load import open_dictionaries

    wanted = [int(layer) for layer in layers if layer != "all"]
    sources = open_dictionaries(reference, wanted or None)
    numbers = sum(math.prod(array.shape) for source in sources for array in source.arrays.values())
    active = [_active(source) for source in sources]
    known = [one for one in active if one is not None]
    return DictionaryShape(
        numbers, sources[0].arrays["b_enc"].shape[0], len(sources),
        sum(known) if len(known) == len(active) else None,
    )  # fmt: skip


def _active(source: Any) -> float | None:
    """Features active a token: their number by rank, or what was measured when they were trained."""
    if source.config.k:
        return float(source.config.k)
    for folder in source.where.parents[:3]:
        if (path := folder / "quality.json").is_file():
            (layer,) = source.config.layers
            rows = json.loads(path.read_text())["layers"]
            return next((float(row["l0"]) for row in rows if row["layer"] == layer), None)
    return None
