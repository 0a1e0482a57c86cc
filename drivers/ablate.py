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
from typing import TYPE_CHECKING

from causeway.drivers.flags import component_flags, model_flags, prompt_records, reading_flags
from causeway.drivers.flags.flag_values import absent, named
from causeway.drivers.flags.refusals import run_driver
from causeway.drivers.flags.table import PROCESSES, take

if TYPE_CHECKING:
    import numpy as np

    from causeway.drivers.flags.component_flags import Made
    from causeway.engine.analyses.ablate.ablate import Ablation, Layer
    from causeway.engine.components import Components
    from causeway.engine.model.handle import Model
    from causeway.engine.prompt_record import PromptRecord

FLAGS = take(f"live correction as_published seed out overwrite {PROCESSES}")


def main(_: list[str]) -> None:
    """Read what is known of the neurons, ablate them, write what that does."""
    out = _checked()
    from causeway.engine.analyses.ablate import ablate, triggers
    from causeway.engine.sweep.checksums import written_alone
    from causeway.engine.sweep.environment import environment
    from causeway.ports.results import ablation_files

    run = component_flags.read()
    records = prompt_records.read(behaviours=FLAGS.behaviours, splits=FLAGS.splits)
    model = model_flags.load_model()
    records = prompt_records.rendered(model, records)
    layers = {one.layer: ablate.layer_of(one, run.table, _directions(one)) for one in run.components}
    asked = _asked(model, records, run, layers)
    space = ablate.in_output_space(asked)
    workdir = Path(FLAGS.workdir, "ablate") if FLAGS.workdir else None
    live = ablate.live_outcomes(asked, space.significant, workdir) if FLAGS.live else {}
    mass = ablate.layer_masses(asked, workdir)
    results, report = ablate.ablation_results(asked, space, live, mass, correction=FLAGS.correction)
    if FLAGS.as_published:
        report["as_published"] = ablate.as_published(asked)
    words = triggers.words_and_triggers(asked, FLAGS.seed)
    report |= {"words_and_triggers": words, "components": run.made["chosen"]["how"], "environment": environment()}
    with written_alone(out, ablation_files.FILES):
        ablation_files.remove_ablations(out)
        reading_flags.claim(out, "ablate")
        ablation_files.write_ablations(out, results, report)
    print("\n".join(ablate.lines(results, report) + ([triggers.line(words)] if words else [])))
    print(f"everything is in {out}")


def _checked() -> Path:
    """--out, after the checks that need no model."""
    from causeway.ports.results.ablation_files import ABOUT

    out = component_flags.checked_folder()
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


def _asked(model: Model, records: list[PromptRecord], run: Made, layers: dict[int, Layer]) -> Ablation:
    """The prompts that were held out and have two answers, known to be those that the components were found on."""
    import numpy as np

    from causeway.engine.analyses.ablate.ablate import Ablation, answer_tokens

    sweep, codes, chosen, reads = component_flags.swept(model, records, run)
    numbers = {id(record): n for n, (_, record) in enumerate(reads) if not chosen[n]}
    held = [record for _, record in reads if id(record) in numbers and record.is_pair]

    def pair(record: PromptRecord) -> tuple[int, tuple[int, int]]:
        number = numbers[id(record)]
        return number, answer_tokens(model, record, reads[number][0])

    found = prompt_records.usable(held, pair, "judged")
    asked, pairs = np.array([n for n, _ in found], int), np.array([both for _, both in found], np.int32).reshape(-1, 2)
    return Ablation(sweep, codes, chosen, layers, asked, pairs, int(run.made["largest"]))


if __name__ == "__main__":
    run_driver(main, sys.argv)
