"""Which few words say what a neuron does? Its component written over a lexicon by orthogonal matching pursuit.

Components come from `components`, in the space where columns of the unembedding live. The lexicon is every token, the
curated words of mathematics and logic, frequent words of --data (worked answers, with --field), or a file of one's own.
Written to --out: decomposition_layer_{l}.json ({neuron: [[index, coefficient, text], ...]}) and .npz, neurons.parquet
(cosines, what reflected lexicons reach, p and q), lexicon.jsonl and decompose.json.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from causeway.drivers.flags import lexicon_flags, model_flags, neuron_flags
from causeway.drivers.flags.flag_values import absent, folder, given, named, no_effect
from causeway.drivers.flags.refusals import run_driver
from causeway.drivers.flags.table import PROCESSES, take

if TYPE_CHECKING:
    from causeway.engine.analyses.decompose.decompose import Decomposition
    from causeway.engine.analyses.decompose.lexicon import Lexicon
    from causeway.engine.components import Components
    from causeway.engine.model.handle import Model

FLAGS = take(f"components held_components atoms null_draws as_published seed out overwrite {PROCESSES}")


def main(_: list[str]) -> None:
    """Read components and words, write the ones over the others."""
    out = _checked_directory()
    from causeway.engine.analyses.decompose.decompose import check_atoms
    from causeway.engine.sweep.checksums import written_alone
    from causeway.ports.lexicons.lexicon_files import write_lexicon
    from causeway.ports.results.decomposition_files import LEXICON, names, remove_decompositions

    words = lexicon_flags.words()
    pairs = _components()
    model = model_flags.load_model()
    for components, held in pairs:
        components.check_of_model(model)
        if held is not None:
            with named("held_components"):
                held.check_of_model(model)
    lexicon = lexicon_flags.load(model, words)
    check_atoms(lexicon, FLAGS.atoms)
    with written_alone(out, names([one.layer for one, _ in pairs], FLAGS.as_published)):
        remove_decompositions(out)
        write_lexicon(out / LEXICON, lexicon.texts)
        _write(out, model, lexicon, pairs)
    print(f"everything is in {out}")


def _checked_directory() -> Path:
    """--out, after the checks that need no model."""
    from causeway.ports.results.decomposition_files import ABOUT

    given("components", "the folder that `components` wrote")
    out = folder("out")
    no_effect("where the model alone is asked", "dictionaries", "gating")
    absent([out / ABOUT])
    return out


def _components() -> list[tuple[Components, Components | None]]:
    """The components of each layer asked for, beside those of other prompts."""
    from causeway.ports.results.component_files import read_components

    wanted, layers = neuron_flags.read(), model_flags.layers()
    with named("components"):
        found = read_components(FLAGS.components, layers, wanted, FLAGS.limit_neurons)
    if not FLAGS.held_components:
        return [(one, None) for one in found]
    with named("held_components"):
        return list(zip(found, read_components(FLAGS.held_components, [one.layer for one in found]), strict=True))


def _write(
    out: Path, model: Model, lexicon: Lexicon, pairs: list[tuple[Components, Components | None]]
) -> None:  # fmt: skip
    from causeway.engine.analyses.decompose.decompose import decomposed
    from causeway.engine.analyses.decompose.table import figures, line, table
    from causeway.engine.sweep.environment import environment
    from causeway.ports.results.decomposition_files import write_summary

    found, layers = [], []
    for components, held in pairs:
        one = decomposed(components, lexicon, FLAGS.atoms, draws=FLAGS.null_draws, seed=FLAGS.seed, held_out=held)
        found.append(one)
        layers.append(figures(one) | _files(out, model, lexicon, components, one))
        print(line(one))
    about = {
        "model": model.name, "model_fingerprint": model.fingerprint, "lexicon": FLAGS.lexicon, "kind": lexicon.kind,
        "texts": len(lexicon.texts), "left_out": {reason: len(texts) for reason, texts in lexicon.left_out.items()},
        "atoms": FLAGS.atoms, "null_draws": FLAGS.null_draws, "seed": FLAGS.seed, "layers": layers,
        "environment": environment(),
    }  # fmt: skip
    write_summary(out, table(found), about)


def _files(
    out: Path, model: Model, lexicon: Lexicon, components: Components, found: Decomposition
) -> dict[str, Any]:  # fmt: skip
    """Write a layer; with --as_published also over the original's dictionary, whose figures are returned."""
    from causeway.engine.analyses.as_published.decomposition import published_decomposition, published_figures
    from causeway.ports.results.decomposition_files import PUBLISHED, write_layer

    shape = model.config.d_ff, len(lexicon.texts)
    made = {"reconstruction": found.pursuit.reconstructed(lexicon.atoms)}
    arrays = found.pursuit.arrays() | {"null_cosine": found.null_cosine} | made
    write_layer(out, found.layer, found.neuron, found.pursuit.entries(found.texts), shape, arrays)
    if not FLAGS.as_published:
        return {}
    other = published_decomposition(components.only(found.neuron).component, lexicon.vectors, FLAGS.atoms)
    entries, made = other.pursuit.entries(found.texts), {"reconstruction": other.reconstruction}
    arrays = other.pursuit.arrays() | made
    write_layer(out, found.layer, found.neuron, entries, shape, arrays, PUBLISHED)
    return {"as_published": published_figures(other)}


if __name__ == "__main__":
    run_driver(main, sys.argv)
