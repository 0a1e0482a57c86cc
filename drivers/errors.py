"""Which neurons tell a model's wrong answers from its right ones, on which prompts, and where do errors lie?

--prompts is the metadata.jsonl of `represent`, whose labels are read. Neurons are chosen on one split and judged on the
other, by activation or by scores on a direction (--measure). Where all is right or all wrong, --labels=margin compares
margins above and below the median. Written to --out: errors.parquet (a row a neuron), examples.jsonl, groups.parquet
(error rates by the prompts' fields), errors.json and figures/errors.png.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from causeway.drivers.flags import model_flags, neuron_flags, prompt_records
from causeway.drivers.flags.flag_values import absent, folder, named, no_effect
from causeway.drivers.flags.refusals import run_driver
from causeway.drivers.flags.table import PROCESSES, take

if TYPE_CHECKING:
    from causeway.engine.analyses.errors.errors import Errors
    from causeway.engine.analyses.errors.labels import Labels
    from causeway.engine.model.handle import Model

# Exit status of a run that was stopped and can be resumed.
_STOPPED = 3
FLAGS = take(
    "behaviours splits measure directions along scores position labels label_source fit_split judge_split held_out "
    f"strata examples decompositions correction seed workdir repair out overwrite {PROCESSES}", keep=20, by=[],
)  # fmt: skip


def main(_: list[str]) -> None:
    """Read labels, then neurons, and tell them apart."""
    out, labels = _checked_directory(), _labels()
    from causeway.engine.analyses.errors.errors import lines
    from causeway.engine.sweep.checksums import written_alone
    from causeway.ports.results.error_files import FILES, remove_errors

    records = prompt_records.read(behaviours=FLAGS.behaviours, splits=FLAGS.splits)
    labels.of(records)
    model = model_flags.load_model()
    words = _words(model)
    found, about = _found(model, prompt_records.rendered(model, records), labels)
    with written_alone(out, FILES):
        remove_errors(out)
        _write(out, found, {**found.about, **about} | {"model": model.name, "model_fingerprint": model.fingerprint})
    print("\n".join([*lines(found, words), f"everything is in {out}"]))


def _checked_directory() -> Path:
    """--out, after the checks that need no file."""
    from causeway.ports.results.error_files import ABOUT

    out = folder("out")
    no_effect("where the model alone is asked", "dictionaries", "gating")
    if FLAGS.measure == "activation":
        no_effect("with --measure=activation", "directions", "along", "scores")
    if FLAGS.scores:
        no_effect("with --scores, which are there", "directions", "layers", "workdir")
    if not FLAGS.workdir:
        no_effect("without --workdir", "repair")
    if FLAGS.measure != "activation" and not (FLAGS.directions or FLAGS.scores):
        no_effect("without --directions, where answers part", "position")
    absent([out / ABOUT])
    return out


def _labels() -> Labels:
    from causeway.engine.analyses.errors.labels import Labels
    from causeway.engine.stats.splits import check_share

    check_share(FLAGS.held_out)
    return Labels(
        FLAGS.labels, FLAGS.label_source, FLAGS.fit_split, FLAGS.judge_split, FLAGS.held_out, tuple(FLAGS.strata),
        FLAGS.seed,
    )  # fmt: skip


def _words(model: Model) -> dict[tuple[int, int], str]:
    """The words of neurons, known to be of the model."""
    if not FLAGS.decompositions:
        return {}
    from causeway.ports.results.decomposition_files import read_words

    with named("decompositions"):
        fingerprint, words = read_words(FLAGS.decompositions)
    if fingerprint != model.fingerprint:
        raise ValueError(
            f"--decompositions: made on weights {fingerprint[:12]}, but {model.name} has {model.fingerprint[:12]}; "
            "decompose neurons of this model"
        )
    return words


def _found(model: Model, records: list[Any], labels: Labels) -> tuple[Errors, dict[str, Any]]:
    """The analysis, and which measure it is of."""
    from causeway.engine.analyses.errors import measures
    from causeway.engine.analyses.errors.errors import find_errors
    from causeway.engine.sweep.job import run
    from causeway.ports.results.score_files import read_scored

    with named("scores"):
        scored = read_scored(FLAGS.scores) if FLAGS.scores else None
    source = scored.directions if scored else FLAGS.directions
    directions, neurons = neuron_flags.directions(source, model) if source else None, neuron_flags.read()
    listed = prompt_records.usable(
        records,
        lambda record: measures.readable(model, record, FLAGS.measure, directions is not None, FLAGS.position),
        "read",
    )
    given = labels.of([prompt.record for prompt in listed])
    layers = scored.layers if scored else measures.layers_of(model.config, model_flags.layers(), neurons)
    job = measures.measure_job(
        model, listed, FLAGS.measure, layers, directions, scored.orders if scored else 1, model_flags.parallel()
    )
    number, workdir = measures.direction_number(job, FLAGS.along), FLAGS.scores or FLAGS.workdir
    if FLAGS.scores:
        measures.check_scored(job, Path(workdir))
    elif workdir and run(job, Path(workdir), repair=FLAGS.repair).stopped:
        sys.exit(_STOPPED)
    values = measures.layer_values(
        job, Path(workdir) if workdir else None, FLAGS.measure, number, neurons, given.numbers
    )
    found = find_errors(
        values, given, keep=FLAGS.keep, count=FLAGS.examples, by=FLAGS.by, correction=FLAGS.correction, seed=FLAGS.seed
    )
    return found, {"measure": FLAGS.measure, "directions": source or "answers", "along": FLAGS.along}


def _write(out: Path, found: Errors, about: dict[str, Any]) -> None:
    """The figure and the tables, and what they are last."""
    from causeway.engine.sweep.environment import environment
    from causeway.ports.results.error_files import draw_areas, write_errors

    rows = found.neurons.slice(0, len(found.best.layer)).to_pylist()
    draw_areas(
        out, [f"{row['layer']}:{row['neuron']}" for row in rows], [row["auc"] for row in rows],
        [(row["auc_held_out"], row["auc_low"], row["auc_high"]) for row in rows],
    )  # fmt: skip
    write_errors(out, found.neurons, found.examples, found.fields, about | {"environment": environment()})


if __name__ == "__main__":
    run_driver(main, sys.argv)
