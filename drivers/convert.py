"""Turn published weights and dictionaries into a checkpoint that restores straight onto any mesh.

--model or --dictionaries says what is converted, --storage in which dtype, --out where to. load_model and
load_dictionaries take the directory as a reference. Nothing stands under its name before all of it is there.
"""

import sys
from pathlib import Path

from absl import flags

from causeway.drivers.flags import model_flags
from causeway.drivers.flags.refusals import run_driver

_OUT = flags.DEFINE_string("out", None, "Directory to make.")
_VERIFY = flags.DEFINE_bool("verify", False, "Compare the model's logits with torch's before the directory is named.")
_TOLERANCE = flags.DEFINE_float(
    "tolerance", 1e-3, "Largest difference of a logit that --verify accepts.", lower_bound=0
)
ROWS, LENGTH = 2, 16


def main(_: list[str]) -> None:
    """Convert one model, or the dictionaries of one reference."""
    if model_flags.MODEL.present == model_flags.DICTIONARIES.present:
        raise ValueError("--model, --dictionaries: needs one of them, and not both; convert them one after the other")
    if not _OUT.value:
        raise ValueError("--out: got nothing; needs the directory to make")
    out = Path(_OUT.value)
    if out.exists():
        raise FileExistsError(f"--out: {out} is there already; name another directory, or remove it")
    if model_flags.MODEL.present:
        _convert_model(out)
    else:
        _convert_dictionaries(out, model_flags.DICTIONARIES.value or "")


def _convert_model(out: Path) -> None:
    from causeway.ports.models.checkpoints import save_model
    from causeway.ports.models.load import model_directory
    from causeway.ports.models.torch_logits import require_torch

    if model_flags.GATING.value:
        raise ValueError("--gating: is of dictionaries; leave it out for a model")
    if _VERIFY.value:
        require_torch("--verify")
    source = model_directory(model_flags.MODEL.value)
    model = model_flags.load_model()
    save_model(out, model, source, lambda partial: _verify(partial, source, model.config) if _VERIFY.value else None)
    print(f"{out}: {model.config.family} of {model.config.num_layers} layers in {model.numerics.storage}")


def _verify(partial: Path, source: Path, config) -> None:
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
    if not error <= _TOLERANCE.value:
        raise ValueError(
            f"--verify: {error:.3g} is more than --tolerance={_TOLERANCE.value:g}; nothing was kept as --out"
        )


def _convert_dictionaries(out: Path, reference: str) -> None:
    import jax.numpy as jnp

    from causeway.ports.dictionaries.load import open_dictionaries
    from causeway.ports.models.checkpoints import save_dictionaries

    if _VERIFY.value:
        raise ValueError("--verify: compares the logits of a model; `causeway inspect` tries dictionaries on text")
    options = model_flags.format_options()
    sources = open_dictionaries(reference, model_flags.layers(), for_model=None, **options)
    save_dictionaries(out, sources, jnp.dtype(model_flags.STORAGE.value))
    layers = ", ".join(str(source.layer) for source in sources)
    print(f"{out}: {sources[0].format} dictionaries of layers {layers} in {model_flags.STORAGE.value}")


if __name__ == "__main__":
    run_driver(main, sys.argv)
