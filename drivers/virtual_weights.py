"""Which features of one layer write what a feature of a higher layer reads, on the stream itself?

Weights alone (--weighting=raw), or weighted by how features are active together on --data (era, twera). Written to
--out: virtual_weights.parquet, a table of target, rank, source, weight: the --keep strongest sources of every target.
"""

import sys
from typing import cast

from causeway.drivers.flags import model_flags
from causeway.drivers.flags.flag_values import absent, folder, no_effect
from causeway.drivers.flags.refusals import run_driver
from causeway.drivers.flags.table import take

FLAGS = take("source_layer target_layer weighting data field block out overwrite", keep=10)
_FILE = "virtual_weights.parquet"


def main(_: list[str]) -> None:
    """Multiply, keep the strongest, write."""
    path = folder("out") / _FILE
    if FLAGS.source_layer is None or FLAGS.target_layer is None:
        raise ValueError("--source_layer, --target_layer: needs both, the layers that write and read")
    if (not FLAGS.data) != (FLAGS.weighting == "raw"):
        raise ValueError(f"--data: --weighting={FLAGS.weighting} needs {'none' if FLAGS.data else 'some'}")
    no_effect("here", "devices", "mesh", "parallel")
    if not FLAGS.data:
        no_effect("without --data", "field")
    absent([path])
    from causeway.engine.analyses.virtual_weights.virtual_weights import (
        Weighting,
        coactivation,
        quantity_of,
        virtual_weights,
    )
    from causeway.ports.files.jsonl import read_texts
    from causeway.ports.graphs.virtual_weight_table import write_virtual_weights

    texts = [text for path in FLAGS.data for text in read_texts(path, FLAGS.field)]
    model_flags.dictionaries_named(transcoders=True)
    model = model_flags.load_model(spread=False)
    dictionaries = model_flags.load_dictionaries(model, transcoders=True, spread=False)
    together = coactivation(model, dictionaries, texts, FLAGS.source_layer, FLAGS.target_layer) if texts else None
    found = virtual_weights(
        model.transformer, dictionaries, FLAGS.source_layer, FLAGS.target_layer,
        top_k=FLAGS.keep, weighting=cast(Weighting, FLAGS.weighting), together=together, block=FLAGS.block,
    )  # fmt: skip
    quantity = quantity_of(dictionaries)
    low, high = FLAGS.source_layer, FLAGS.target_layer
    about = {"weight": quantity, "weighting": FLAGS.weighting, "source_layer": str(low), "target_layer": str(high)}
    rows = write_virtual_weights(path, found, about)
    print(f"{rows} weights of {len(found.source)} features of layer {high} from layer {low}, by size; {quantity}:")
    for target, source, weight in found.strongest(10):
        print(f"  feature {target:>6} of layer {high} reads {source:>6} of layer {low}: {weight:+.4f}")
    print(f"everything is in {path}")


if __name__ == "__main__":
    run_driver(main, sys.argv)
