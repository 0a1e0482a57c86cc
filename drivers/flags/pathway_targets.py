"""Targets of `pathways`: features of a table, or the one of --prototype."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from causeway.drivers.flags import model_flags
from causeway.drivers.flags.flag_values import given, named, no_effect
from causeway.drivers.flags.table import take

if TYPE_CHECKING:
    import pyarrow as pa

FLAGS = take("features limit_features prototype set_to overwrite", per_layer=50)
MEASURED = (
    "top", "select_by", "least_effect", "random_pairs", "longest_chain", "chains", "alpha", "tau", "correction",
    "random_draws", "candidates", "plan",
)  # fmt: skip


def table(workdir: Path) -> pa.Table:
    """Targets, perhaps with values.

    Raises:
        ValueError: no features, flags that do nothing here, or what another --prototype has written to the workdir.
    """
    if FLAGS.prototype:
        no_effect("with --prototype, which tries discovery alone", *MEASURED)
        own = _prototype(workdir)
        if not FLAGS.features:
            no_effect("with --prototype and without --features", "per_layer", "limit_features", "set_to")
            return own
    else:
        no_effect("without --prototype, as the same command resumes", "overwrite")
    from causeway.engine.analyses.patch_sweep.features import chosen, of_layers, ranked
    from causeway.ports.prompts.sweep_inputs import read_feature_table

    path = given("features", "a file of target features: that of `select` or `screen`, or JSON lines")
    with named("features"):
        rows = read_feature_table(path)
        if not rows.num_rows:
            raise ValueError(f"{path}: has no features; needs one at least")
        if not ranked(rows):
            no_effect("of a table without d and q, which is taken whole", "per_layer")
        rows = of_layers(rows, model_flags.layers() or ())
        return chosen(rows, FLAGS.per_layer).slice(0, FLAGS.limit_features)


def distinct(rows: pa.Table) -> int:
    """Features of a table."""
    return rows.group_by(["layer", "feature"]).aggregate([]).num_rows


def _prototype(workdir: Path) -> pa.Table:
    """The feature of --prototype, if the workdir has no test of another that is to stay."""
    import pyarrow as pa

    from causeway.engine.analyses.pathways.asking import named_feature
    from causeway.engine.earlier_results import feature_name
    from causeway.ports.results.pathway_files import PROTOTYPE, tested_feature

    layer, feature = named_feature(FLAGS.prototype, "prototype")
    tested = None if FLAGS.overwrite else tested_feature(workdir / PROTOTYPE)
    if tested not in (None, feature_name(layer, feature)):
        raise ValueError(
            f"--workdir: {workdir / PROTOTYPE} is there already, of {tested}; give another folder or --overwrite"
        )
    return pa.table({"layer": [layer], "feature": [feature]})
