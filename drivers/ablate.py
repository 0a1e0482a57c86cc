"""Does it matter what neurons do through later attention, and is the main direction of it enough?

Of the neurons of a `components` run, on the prompts that it held out: second-order effects become their means (all, or
those beyond or within their threshold), their part along the component (rank_1), along what its words make of it
(sparse, with --decompositions), or stay where they are largest; and the neurons are set to their means in the model
itself. Written to --out: ablations.parquet (accuracy, logit difference, KL of each) and ablate.json (sparsity,
concentration, PC1, drops of accuracy, beside the criteria of the original plan).
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from causeway.drivers.flags import model_flags, prompt_records, reading_flags
from causeway.drivers.flags.flag_values import absent, folder, given, named, no_effect
from causeway.drivers.flags.refusals import run_driver
from causeway.drivers.flags.table import take

if TYPE_CHECKING:
    import numpy as np

    from causeway.engine.analyses.ablate.ablate import Ablation, Layer
    from causeway.engine.components import Components
    from causeway.engine.model.handle import Model
    from causeway.engine.prompt_record import PromptRecord

FLAGS = take("components decompositions behaviours splits live correction as_published seed out overwrite")


def main(_: list[str]) -> None:
    """Read what is known of the neurons, ablate them, write what that does."""
    out = _checked()
    from causeway.engine.analyses.ablate import ablate, triggers
    from causeway.engine.sweep.checksums import written_alone
    from causeway.engine.sweep.environment import environment
    from causeway.ports.results import ablation_files, component_files

    with named("components"):
        made, found = component_files.read_made(FLAGS.components), component_files.read_components(FLAGS.components)
        table = component_files.read_table(FLAGS.components)
    records = prompt_records.read(behaviours=FLAGS.behaviours, splits=FLAGS.splits)
    model = model_flags.load_model()
    records = prompt_records.rendered(model, records)
    layers = {one.layer: ablate.layer_of(one, table, _directions(one)) for one in found}
    asked = _asked(model, records, made, layers)
    space = ablate.in_output_space(asked)
    workdir = Path(FLAGS.workdir, "ablate") if FLAGS.workdir else None
    live = ablate.live_outcomes(asked, space.significant, workdir) if FLAGS.live else {}
    mass = ablate.layer_masses(asked, workdir)
    results, report = ablate.ablation_results(asked, space, live, mass, correction=FLAGS.correction)
    if FLAGS.as_published:
        report["as_published"] = ablate.as_published(asked)
    words = triggers.words_and_triggers(asked, FLAGS.seed)
    report |= {"words_and_triggers": words, "components": made["chosen"]["how"], "environment": environment()}
    with written_alone(out, ablation_files.FILES):
        ablation_files.remove_ablations(out)
        reading_flags.claim(out, "ablate")
        ablation_files.write_ablations(out, results, report)
    print("\n".join(ablate.lines(results, report) + ([triggers.line(words)] if words else [])))
    print(f"everything is in {out}")


def _checked() -> Path:
    """--out, after the checks that need no model."""
    from causeway.ports.results.ablation_files import ABOUT

    given("components", "the folder that `components` wrote")
    out = folder("out")
    no_effect("where neurons are those of --components", "dictionaries", "gating", "layers")
    if not reading_flags.claimed(out, "ablate"):
        absent([out / ABOUT])
    return out


def _directions(components: Components) -> dict[str, np.ndarray]:
    """What components are as their words have them."""
    if not FLAGS.decompositions:
        return {}
    from causeway.engine.analyses.ablate.substitutions import PUBLISHED, SPARSE
    from causeway.ports.results import decomposition_files as files

    with named("decompositions"):
        found = {SPARSE: files.read_reconstructions(FLAGS.decompositions, components)}
        if FLAGS.as_published:
            found[PUBLISHED] = files.read_reconstructions(FLAGS.decompositions, components, files.PUBLISHED)
    return {name: vectors for name, vectors in found.items() if vectors is not None}


def _asked(model: Model, records: list[PromptRecord], made: dict[str, Any], layers: dict[int, Layer]) -> Ablation:
    """The prompts that were held out and have two answers, known to be those that the components were found on."""
    import numpy as np

    from causeway.engine.analyses.ablate.ablate import Ablation, answer_tokens
    from causeway.engine.analyses.components.code_sweep import CodeSweep, StoredCodes, check_finished, neurons_of
    from causeway.engine.analyses.components.request import read_prompt

    for layer in layers.values():
        layer.components.check_of_model(model)
    position = made["position"]
    reads = prompt_records.usable(records, lambda record: (read_prompt(model, record, position), record), "read")
    neurons = neurons_of([layer.components for layer in layers.values()])
    sweep = CodeSweep(model, tuple(read for read, _ in reads), neurons, parallel=model_flags.parallel())
    with named("components"):
        check_finished(sweep, Path(FLAGS.components))
    others = set(made["chosen"]["held_out"])
    numbers = {id(record): n for n, (_, record) in enumerate(reads) if n in others}
    held = [record for _, record in reads if id(record) in numbers and record.is_pair]

    def pair(record: PromptRecord) -> tuple[int, tuple[int, int]]:
        number = numbers[id(record)]
        return number, answer_tokens(model, record, reads[number][0])

    found = prompt_records.usable(held, pair, "judged")
    chosen = ~np.isin(np.arange(len(reads)), made["chosen"]["held_out"])
    codes = StoredCodes(sweep, Path(FLAGS.components))
    asked, pairs = np.array([n for n, _ in found], int), np.array([both for _, both in found], np.int32).reshape(-1, 2)
    return Ablation(sweep, codes, chosen, layers, asked, pairs, int(made["largest"]))


if __name__ == "__main__":
    run_driver(main, sys.argv)
