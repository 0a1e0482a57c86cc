"""How many unrelated things does each neuron do?

Of the neurons of a `components` run, on the same --prompts: over how many directions their effects vary and how much
lies beyond the component, through how many heads they act, on how many kinds of prompts (--label_field), and with
--decompositions over how many words they are spread and how alike these are. Every score stands beside what chance
would give. Written to --out: polysemanticity.parquet (a row a neuron) and polysemanticity.json.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from causeway.drivers.flags import component_flags, model_flags, prompt_records
from causeway.drivers.flags.flag_values import absent, named
from causeway.drivers.flags.refusals import run_driver
from causeway.drivers.flags.table import take

if TYPE_CHECKING:
    from causeway.drivers.flags.component_flags import Made
    from causeway.engine.analyses.ablate.ablate import Layer
    from causeway.engine.analyses.polysemanticity.polysemanticity import Asked
    from causeway.engine.analyses.polysemanticity.words import LayerWords
    from causeway.engine.model.handle import Model
    from causeway.engine.prompt_record import PromptRecord

FLAGS = take("seed out overwrite", label_field="behaviour")


def main(_: list[str]) -> None:
    """Read what is known of the neurons, score them, write."""
    out = _checked_directory()
    from causeway.engine.analyses.ablate.ablate import layer_of
    from causeway.engine.analyses.polysemanticity.polysemanticity import lines, scored, summary
    from causeway.engine.sweep.checksums import written_alone
    from causeway.engine.sweep.environment import environment
    from causeway.ports.results.polysemanticity_files import FILES, write_polysemanticity

    run = component_flags.read()
    records = prompt_records.read(behaviours=FLAGS.behaviours, splits=FLAGS.splits)
    model = model_flags.load_model()
    layers = {one.layer: layer_of(one, run.table) for one in run.components}
    asked = _asked(model, prompt_records.rendered(model, records), run, layers)
    result = scored(asked)
    about = {
        "model": model.name, "model_fingerprint": model.fingerprint, **summary(asked, result),
        "environment": environment(),
    }  # fmt: skip
    with written_alone(out, FILES):
        write_polysemanticity(out, result, about)
    print("\n".join([*lines(result, about), f"everything is in {out}"]))


def _checked_directory() -> Path:
    """--out, after the checks that need no model."""
    from causeway.ports.results.polysemanticity_files import ABOUT

    out = component_flags.checked_folder()
    absent([out / ABOUT])
    return out


def _asked(model: Model, records: list[PromptRecord], run: Made, layers: dict[int, Layer]) -> Asked:
    """Neurons and prompts, known to be those that the components were found on."""
    from causeway.engine.analyses.polysemanticity.polysemanticity import Asked, labels_of

    sweep, codes, chosen, reads = component_flags.swept(model, records, run)
    own = [record for _, record in reads]
    labels_of(own, FLAGS.label_field)
    words, null = _words(model, layers)
    return Asked(sweep, codes, chosen, own, layers, FLAGS.label_field, words, null, FLAGS.seed)


def _words(model: Model, layers: dict[int, Layer]) -> tuple[dict[int, LayerWords], tuple[float, float]]:
    """The words of neurons, known to be of these components, and what chance makes of random directions."""
    if not FLAGS.decompositions:
        return {}, (float("nan"), float("nan"))
    from causeway.engine.analyses.polysemanticity.words import LayerWords, chance_of, check_same
    from causeway.ports.results import decomposition_files as files

    with named("decompositions"):
        fingerprint, texts = files.read_words(FLAGS.decompositions)
        if fingerprint != model.fingerprint:
            raise ValueError(
                f"made on weights {fingerprint[:12]}, but {model.name} has {model.fingerprint[:12]}; decompose neurons "
                "of this model"
            )
        found = {}
        for at, layer in layers.items():
            if (own := files.read_decomposed(FLAGS.decompositions, at)) is not None:
                cosine, told = own.pop("cosine"), tuple(texts.get((at, n), "") for n in own["neuron"].tolist())
                found[at] = LayerWords(**own, texts=told)
                check_same(layer.components, found[at], cosine)
        null = chance_of(model, *files.read_lexicon(FLAGS.decompositions), FLAGS.seed)
    return found, null


if __name__ == "__main__":
    run_driver(main, sys.argv)
