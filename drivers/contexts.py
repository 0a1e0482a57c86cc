"""Where in texts is each feature active, how often and how strongly, and which tokens does it promote?

Reads --data once and keeps of every feature of all layers the contexts of its largest values, contexts drawn at random
from each octave below, firing rates with intervals over texts, and a histogram; the decoder's rows give the tokens that
it promotes and suppresses. Written to --workdir: features.parquet, contexts.parquet, histograms.parquet and
summary.json. The same command resumes.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from causeway.drivers.flags import model_flags
from causeway.drivers.flags.flag_values import folder, given, named, no_effect, numbers
from causeway.drivers.flags.refusals import run_driver
from causeway.drivers.flags.table import PROCESSES, TASKS, take

if TYPE_CHECKING:
    from collections.abc import Mapping

    from causeway.engine.analyses.contexts.sweep import ContextSweep
    from causeway.engine.sweep.guard import DiskGuard

# Exit status of a run that was stopped and can be resumed.
_STOPPED = 3
FLAGS = take(
    "data field num_texts length include_first features feature_labels bands band_contexts reach unit_rows neuronpedia "
    f"scan seed workdir repair disk_limits {PROCESSES}",
    keep=10,
    batch_rows=16,
)


def main(_: list[str]) -> None:
    """Read, run what is missing, write the tables."""
    workdir = folder("workdir")
    guard = _guard(workdir)
    # Texts and tables before weights: a file that cannot be read is found at once.
    texts, labels, features = _texts(), _labels(), _features()
    from causeway.engine.sweep.job import run

    sweep = _sweep(texts, features)
    print(f"{sweep.corpus.counts.sum():,} tokens of {len(texts):,} texts; {sweep.plan.units} units", flush=True)
    if run(sweep, workdir, guard=guard, repair=FLAGS.repair).stopped:
        sys.exit(_STOPPED)
    _write(workdir, sweep, labels)


def _guard(workdir: Path) -> DiskGuard:
    limits = numbers("disk_limits", float)
    if len(limits) != 2:
        raise ValueError("--disk_limits: needs two numbers, to warn at and to stop at")
    no_effect("without --neuronpedia", *["scan"] * (not FLAGS.neuronpedia))
    from causeway.engine.sweep.guard import DiskGuard

    return DiskGuard(workdir, limits[0], limits[1])


def _texts() -> list[str]:
    from causeway.engine.tasks import suite
    from causeway.ports.files.jsonl import read_texts

    given("data", "text files, or `tasks`")
    no_effect(*("with --data=tasks", "field") if FLAGS.data == [TASKS] else ("without --data=tasks", "num_texts"))
    if FLAGS.data == [TASKS]:
        return suite.texts("train", FLAGS.num_texts, FLAGS.seed)
    return [text for path in FLAGS.data for text in read_texts(path, FLAGS.field)]


def _labels() -> Mapping[tuple[int, int], str]:
    from causeway.ports.results.label_files import read_labels

    with named("feature_labels"):
        return read_labels(FLAGS.feature_labels) if FLAGS.feature_labels else {}


def _features() -> list[tuple[int, int]] | None:
    """Layer and feature of those looked at; None for all."""
    if not FLAGS.features:
        return None
    from causeway.ports.prompts.sweep_inputs import read_feature_table

    with named("features"):
        table = read_feature_table(FLAGS.features)
        return list(zip(table["layer"].to_pylist(), table["feature"].to_pylist(), strict=True))


def _sweep(texts: list[str], features: list[tuple[int, int]] | None) -> ContextSweep:
    from causeway.engine.analyses.contexts.request import features_by_layer
    from causeway.engine.analyses.contexts.sweep import ContextSweep
    from causeway.engine.analyses.contexts.tally import Sizes
    from causeway.engine.train.corpus import make_corpus

    model_flags.dictionaries_named()
    model = model_flags.load_model()
    dictionary = model_flags.load_dictionaries(model)
    with named("features"):
        chosen = features_by_layer(dictionary, features)
    with named("data"):
        corpus = make_corpus(
            model, texts, min(FLAGS.length, model.config.max_position), include_first=FLAGS.include_first
        )
    sizes = Sizes(FLAGS.keep, FLAGS.bands, FLAGS.band_contexts, FLAGS.reach)
    parallel = model_flags.parallel()
    return ContextSweep(
        model, dictionary, corpus, chosen, sizes, FLAGS.unit_rows, FLAGS.batch_rows, FLAGS.seed, parallel
    )


def _write(workdir: Path, sweep: ContextSweep, labels: Mapping[tuple[int, int], str]) -> None:
    from causeway.engine.analyses.contexts.summary import lines, summary
    from causeway.engine.analyses.contexts.sweep import layer_tallies
    from causeway.engine.analyses.contexts.tables import layer_tables, texts_of
    from causeway.engine.analyses.contexts.weight_readings import weight_readings
    from causeway.engine.sweep.checksums import written_alone
    from causeway.ports.results import context_files, neuronpedia_features

    texts, weights = texts_of(sweep), weight_readings(sweep, FLAGS.keep)
    with written_alone(workdir, context_files.NAMES):
        tallies = layer_tallies(sweep, workdir)
        found = (layer_tables(sweep, one, weights[one.layer], texts, labels) for one in tallies)
        about = summary(sweep, context_files.write_tables(workdir, found)) | {"data": FLAGS.data}
        context_files.write_about(workdir, about)
        if FLAGS.neuronpedia:
            neuronpedia_features.write_features(workdir, about, FLAGS.scan or sweep.model.name, ",".join(FLAGS.data))
    print("\n".join([*lines(about), f"everything is in {workdir}: {', '.join(context_files.NAMES)}"]))


if __name__ == "__main__":
    run_driver(main, sys.argv)
