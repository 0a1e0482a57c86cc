"""Which features do prompts switch on? The strongest of each token, and how often every feature is active.

Features of transcoders (or SAEs) where they read, from one pass over each prompt. Written to --out for every behaviour
and split of --prompts: layer_{l}/{behaviour}_{split}_top_k_indices.npy, _top_k_values.npy, _feature_frequencies.npy
(share of prompts) and more, and {behaviour}_{split}_summary.json.
"""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from causeway.drivers.flags import chat_flags, model_flags, prompt_records, reading_flags
from causeway.drivers.flags.flag_values import absent, folder, no_effect
from causeway.drivers.flags.refusals import run_driver
from causeway.drivers.flags.table import take

if TYPE_CHECKING:
    import numpy as np

    from causeway.engine.analyses.features.extract import LayerFeatures
    from causeway.engine.analyses.features.positions import Positions
    from causeway.engine.devices import RowParallel
    from causeway.engine.dictionary.placement import Holder
    from causeway.engine.model.handle import Model
    from causeway.engine.prompt_record import PromptRecord
    from causeway.engine.reading.passes import ReadRow

    Runnable = list[tuple[PromptRecord, ReadRow]]

FLAGS = take("behaviours splits positions include_first keep full out overwrite", batch_rows=16)


def main(_: list[str]) -> None:
    """Read prompts, extract, write."""
    out = folder("out")
    from causeway.engine.analyses.features.extract import check_request
    from causeway.ports.prompts.prompt_files import by_set
    from causeway.ports.results.feature_files import check_distinct, summary_path, written

    positions = _positions()
    records = prompt_records.read(behaviours=FLAGS.behaviours, splits=FLAGS.splits)
    sets = by_set(records)
    check_distinct(sets)
    own = [key for key in sets if reading_flags.claimed(out, "_".join(key))]
    absent(summary_path(out, *key) for key in sets if key not in own)
    model_flags.dictionaries_named()
    model = model_flags.load_model()
    dictionary, parallel = model_flags.load_dictionaries(model), model_flags.parallel()
    sets = by_set(prompt_records.rendered(model, records))
    runnable = {key: _usable(model, prompts, positions) for key, prompts in sets.items()}
    for prompts in runnable.values():
        check_request(model.transformer, dictionary, [row for _, row in prompts], FLAGS.keep)
    for (behaviour, split), prompts in runnable.items():
        with written(out, behaviour, split, dictionary.config.layers, again=(behaviour, split) in own):
            reading_flags.claim(out, f"{behaviour}_{split}")
            found, samples = _extract(out, behaviour, split, prompts, model, dictionary, positions, parallel)
            _write(out, behaviour, split, prompts, model, dictionary, positions, found, samples)
    print(f"everything is in {out}")


def _positions() -> Positions:
    from causeway.engine.analyses.features.positions import Positions

    found = Positions.read(FLAGS.positions, 0 if FLAGS.include_first else 1)
    if found.places:
        no_effect("where --positions names places", "include_first")
    return found


def _usable(model: Model, prompts: list[PromptRecord], positions: Positions) -> Runnable:
    """Prompts with their tokens, before anything is run."""
    from causeway.engine.places import Places

    def row(record: PromptRecord) -> tuple[PromptRecord, ReadRow]:
        tokens = model.tokens(record.content)
        return record, positions.row(tokens, Places.of(model, record, tokens))

    return prompt_records.usable(prompts, row, "run")


def _extract(
    out: Path,
    behaviour: str,
    split: str,
    prompts: Runnable,
    model: Model,
    dictionary: Holder,
    positions: Positions,
    parallel: RowParallel,
) -> tuple[list[LayerFeatures], np.ndarray]:
    """Features of every layer, and the prompt and position of each sample."""
    from causeway.engine.analyses.features.extract import extract_features, samples_of
    from causeway.ports.results.feature_files import full_arrays

    rows = [row for _, row in prompts]
    samples, layers = samples_of(rows), dictionary.config.layers
    shape = (len(samples), dictionary.num_features)
    with full_arrays(out, behaviour, split, layers, shape) if FLAGS.full else contextlib.nullcontext() as full:
        found = extract_features(
            model.transformer, dictionary, rows, slots=positions.slots, top_k=FLAGS.keep,
            batch_rows=FLAGS.batch_rows, parallel=parallel, full=full,
            kept=reading_flags.kept(model, f"{behaviour}_{split}"),
        )  # fmt: skip
    return found, samples


def _write(
    out: Path,
    behaviour: str,
    split: str,
    prompts: Runnable,
    model: Model,
    dictionary: Holder,
    positions: Positions,
    found: list[LayerFeatures],
    samples: np.ndarray,
) -> None:
    from causeway.engine.sweep.environment import environment
    from causeway.ports.results.feature_files import layer_figures, prompts_path, write_layer, write_summary

    config = dictionary.config
    chat_flags.keep(prompts_path(out, behaviour, split), [record for record, _ in prompts])
    about = {
        "behaviour": behaviour, "split": split, "prompts": len(prompts), "positions": str(positions),
        "position_0": not positions.first or bool(positions.places), "stream": config.stream, "kind": config.kind,
        "model": model.name, "dictionaries": FLAGS.dictionaries or FLAGS.model,
    }  # fmt: skip
    for layer in found:
        write_layer(out, behaviour, split, layer, about)
    layers = [layer_figures(layer) for layer in found]
    content = about | {
        "model_fingerprint": model.fingerprint, "samples": len(samples), "layers": layers,
        "ids": [record.id for record, _ in prompts], "environment": environment(),
    }  # fmt: skip
    write_summary(out, behaviour, split, samples, content)
    print(f"{behaviour} {split}: {len(prompts)} prompts, {len(samples)} tokens")
    for figures in layers:
        print(
            f"  layer {figures['layer']}: {figures['active_a_token']:.1f} features active a token, "
            f"{figures['active_a_prompt']:.1f} a prompt, {figures['ever_active']} of {figures['features']} ever"
        )


if __name__ == "__main__":
    run_driver(main, sys.argv)
