"""Turn published weights and dictionaries into a checkpoint that restores straight onto any mesh.

--model or --dictionaries says what is converted, --storage in which dtype, --out where to. load_model and
load_dictionaries take the directory as a reference. Nothing stands under its name before all of it is there.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from causeway.drivers.flags import model_flags
from causeway.drivers.flags.flag_values import named, no_effect
from causeway.drivers.flags.refusals import run_driver
from causeway.drivers.flags.table import take

if TYPE_CHECKING:
    from causeway.engine.model.config import ModelConfig

FLAGS = take("out verify tolerance")
ROWS, LENGTH = 2, 16


def main(_: list[str]) -> None:
    """Convert one model, or the dictionaries of one reference."""
    if FLAGS["model"].present == FLAGS["dictionaries"].present:
        raise ValueError("--model, --dictionaries: needs one of them, and not both; convert them one after the other")
    no_effect("here", "compute", "devices", "mesh", "parallel", "placement")
    no_effect(*("on a model", "layers", "gating") if FLAGS["model"].present else ("on dictionaries", "bos"))
    if not FLAGS.verify:
        no_effect("without --verify", "tolerance")
    if FLAGS.storage == "int8":
        raise ValueError(
            "--storage: got int8; what is written holds floats: load the model's files with --storage=int8"
        )
    if not FLAGS.out:
        raise ValueError("--out: got nothing; needs the directory to make")
    out = Path(FLAGS.out)
    if out.exists():
        raise FileExistsError(f"--out: {out} is there already; name another directory, or remove it")
    if FLAGS["model"].present:
        _convert_model(out)
    else:
        _convert_dictionaries(out, FLAGS.dictionaries or "")


def _convert_model(out: Path) -> None:
    from causeway.ports.models.checkpoints import save_checkpoint
    from causeway.ports.models.load import model_directory
    from causeway.ports.models.torch_logits import require_torch

    if FLAGS.verify:
        require_torch("--verify")
    with named("model"):
        source = model_directory(FLAGS.model)
    if FLAGS.verify and source.is_file():
        raise ValueError("--verify: compares with torch, which reads folders and not GGUF files; leave it out")
    model = model_flags.load_model(spread=False)
    save_checkpoint(
        out, model, source, lambda partial: _verify(partial, source, model.config) if FLAGS.verify else None
    )
    print(f"{out}: {model.config.family} of {model.config.num_layers} layers in {model.numerics.storage}")


def _verify(partial: Path, source: Path, config: ModelConfig) -> None:
    """Logits of what was written against those of what was read."""
    import jax.numpy as jnp
    import numpy as np

    from causeway.engine.model.config import Numerics
    from causeway.engine.model.forward import next_token_logits
    from causeway.ports.models.checkpoints import restore_transformer
    from causeway.ports.models.torch_logits import torch_logits

    tokens = np.random.default_rng(0).integers(0, config.vocab_size, (ROWS, min(LENGTH, config.max_position)))
    restored, _ = restore_transformer(partial, Numerics(), None)
    logits = np.asarray(next_token_logits(restored, jnp.asarray(tokens)))
    error = float(np.abs(logits - torch_logits(source, tokens)).max())
    print(f"verify: logits differ from torch's by at most {error:.3g}, over {tokens.size} random tokens")
    if not error <= FLAGS.tolerance:
        raise ValueError(
            f"--verify: {error:.3g} is more than --tolerance={FLAGS.tolerance:g}; nothing was kept as --out"
        )


def _convert_dictionaries(out: Path, reference: str) -> None:
    import jax.numpy as jnp

    from causeway.ports.dictionaries.load import open_dictionaries
    from causeway.ports.models.checkpoints import save_dictionaries

    if FLAGS.verify:
        raise ValueError("--verify: compares the logits of a model; `causeway inspect` tries dictionaries on text")
    options = model_flags.format_options()
    with named("dictionaries"):
        sources = open_dictionaries(reference, model_flags.layers(), for_model=None, **options)
    save_dictionaries(out, sources, jnp.dtype(FLAGS.storage))
    layers = ", ".join(str(source.layer) for source in sources)
    print(f"{out}: {sources[0].format} dictionaries of layers {layers} in {FLAGS.storage}")


if __name__ == "__main__":
    run_driver(main, sys.argv)
