"""Which features of one layer write what a feature of a higher layer reads, on the stream itself?

Weights alone (--weighting=raw), or weighted by how features are active together on --texts (era, twera). Written to
--out: virtual_weights.parquet, a table of target, rank, source, weight: the --top_k strongest sources of every target.
"""

import sys
from typing import cast

from absl import flags

from causeway.drivers.flags import model_flags
from causeway.drivers.flags.flag_values import folder
from causeway.drivers.flags.refusals import run_driver

_SOURCE = flags.DEFINE_integer("source_layer", None, "Layer whose features write (negative: from the end).")
_TARGET = flags.DEFINE_integer("target_layer", None, "Layer above it, whose features read.")
_TOP_K = flags.DEFINE_integer("top_k", 10, "Sources kept of each target.", lower_bound=1)
_WEIGHTING = flags.DEFINE_enum("weighting", "raw", ["raw", "era", "twera"], "Weights alone, or by co-activation.")
_TEXTS = flags.DEFINE_string("texts", None, "Texts for era and twera: .jsonl, .json (field text) or .txt.")
_BLOCK = flags.DEFINE_integer("block", 2048, "Features of a block; a block's weights are in memory.", lower_bound=1)
_OUT = flags.DEFINE_string("out", None, "Directory to write.")
_OVERWRITE = flags.DEFINE_bool("overwrite", False, "Replace weights that are already in --out.")
_FILE = "virtual_weights.parquet"


def main(_: list[str]) -> None:
    """Multiply, keep the strongest, write."""
    path = folder(_OUT) / _FILE
    if _SOURCE.value is None or _TARGET.value is None:
        raise ValueError("--source_layer, --target_layer: needs both, the layers that write and read")
    if (_TEXTS.value is None) != (_WEIGHTING.value == "raw"):
        raise ValueError(f"--texts: --weighting={_WEIGHTING.value} needs {'none' if _TEXTS.value else 'some'}")
    if path.exists() and not _OVERWRITE.value:
        raise ValueError(f"--out: {path} is there already; give another directory or --overwrite")
    from causeway.engine.analyses.virtual_weights.virtual_weights import Weighting, coactivation, virtual_weights
    from causeway.ports.files.jsonl import read_texts
    from causeway.ports.graphs.virtual_weight_table import write_virtual_weights

    texts = read_texts(_TEXTS.value) if _TEXTS.value else []
    model = model_flags.load_model()
    dictionaries = model_flags.load_dictionaries(model, transcoders=True)
    together = coactivation(model, dictionaries, texts, _SOURCE.value, _TARGET.value) if texts else None
    found = virtual_weights(
        model.transformer, dictionaries, _SOURCE.value, _TARGET.value,
        top_k=_TOP_K.value, weighting=cast(Weighting, _WEIGHTING.value), together=together, block=_BLOCK.value,
    )  # fmt: skip
    rows = write_virtual_weights(path, found)
    print(
        f"{rows} weights of {len(found.source)} features of layer {_TARGET.value} from layer {_SOURCE.value}, by size:"
    )
    for target, source, weight in found.strongest(10):
        print(
            f"  feature {target:>6} of layer {_TARGET.value} reads {source:>6} of layer {_SOURCE.value}: {weight:+.4f}"
        )
    print(f"everything is in {path}")


if __name__ == "__main__":
    run_driver(main, sys.argv)
