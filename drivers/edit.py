"""Do neurons that are scaled in the weights make the model answer better, and what does it cost elsewhere?

Neurons (--neurons) are scaled at all tokens by --factors, alone and together; with --sign_by those along a direction
are amplified and the others suppressed. Some prompts (the split `train`, else those not held out) choose the best
setting, the others say what it is worth, and --unrelated and --unrelated_data what it costs. Written to --out:
edits.parquet (a row for each setting and set), edit.json (the chosen setting, its effect and price) and
figures/price.png. --export writes the chosen model's weights.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, cast

from causeway.drivers.flags import chat_flags, model_flags, neuron_flags, prompt_records, reading_flags
from causeway.drivers.flags.flag_values import absent, folder, given, named, no_effect, numbers
from causeway.drivers.flags.refusals import run_driver
from causeway.drivers.flags.table import PROCESSES, TASKS, take

if TYPE_CHECKING:
    from causeway.engine.analyses.edit.edit_results import EditResults
    from causeway.engine.analyses.edit.edit_sweep import Items
    from causeway.engine.analyses.edit.settings import Setting
    from causeway.engine.model.handle import Model
    from causeway.engine.prompt_record import PromptRecord
    from causeway.engine.tokenized_prompt import TokenizedPrompt

FLAGS = take(
    "factors together sign_by unrelated unrelated_data field length text_rows export behaviours splits seed correction "
    f"out overwrite {PROCESSES}", batch_rows=16, held_out=0.5,
)  # fmt: skip
NAME = "edit"


def main(_: list[str]) -> None:
    """Read neurons and prompts, measure every setting, choose one, write."""
    out = _checked()
    from causeway.engine.analyses.edit.edit_results import EditResults
    from causeway.engine.analyses.edit.edit_sweep import EditSweep, measured
    from causeway.engine.choosing import by_split
    from causeway.engine.prompt_record import check_pair
    from causeway.engine.stats.multiple import Method

    settings = _settings()
    task = prompt_records.read(check_pair, behaviours=FLAGS.behaviours, splits=FLAGS.splits)
    if by_split(task):
        idle = ["held_out", *["seed"] * (FLAGS.unrelated_data != [TASKS])]
        no_effect("where prompts of the split train choose and those of others estimate", *idle)
    with named("unrelated"):
        others = prompt_records.read(check_pair, "unrelated") if FLAGS.unrelated else []
    texts, model = _texts(), model_flags.load_model()
    _check_export(model)
    items = _items(model, task, others, texts)
    with named("neurons"):
        sweep = EditSweep.of(model, items, settings, FLAGS.batch_rows, model_flags.parallel())
    print(f"{len(settings)} settings; {len(items.task)} prompts of the task, of which {items.choosing.sum()} choose")
    kept = reading_flags.kept(model, NAME)
    found = EditResults(sweep, measured(sweep, kept.workdir if kept else None), cast(Method, FLAGS.correction))
    _write(out, model, found, items)


def _checked() -> Path:
    """--out, after the checks that need nothing read."""
    from causeway.ports.results.edit_files import ABOUT

    out = folder("out")
    no_effect("where the model alone is asked", "dictionaries", "layers", "gating")
    if not FLAGS.unrelated_data:
        no_effect("without --unrelated_data", "field", "length", "text_rows")
    if not reading_flags.claimed(out, NAME):
        absent([out / ABOUT])
    if FLAGS.export and folder("export").exists() and not FLAGS.overwrite:
        raise ValueError(f"--export: {FLAGS.export} is there already; name another folder, or give --overwrite")
    return out


def _settings() -> list[Setting]:
    from causeway.engine.analyses.edit.settings import settings_of
    from causeway.ports.results.neuron_files import read_values

    source, neurons = given("neurons", "a table of neurons, or a list such as 9:5,9:17"), neuron_flags.read()
    assert neurons is not None
    with named("sign_by"):
        signs = read_values(source, FLAGS.sign_by, neurons) if FLAGS.sign_by else None
    return settings_of(neurons, numbers("factors", float), numbers("together", int) or None, signs)


def _texts() -> list[str]:
    """The texts of --unrelated_data, before a model is loaded."""
    from causeway.engine.tasks import suite
    from causeway.ports.files.jsonl import read_texts

    if FLAGS.unrelated_data == [TASKS]:
        return suite.texts("held_out", FLAGS.text_rows, FLAGS.seed)
    with named("unrelated_data"):
        return [text for path in FLAGS.unrelated_data for text in read_texts(path, FLAGS.field)][: FLAGS.text_rows]


def _items(model: Model, task: list[PromptRecord], others: list[PromptRecord], texts: list[str]) -> Items:
    """What edited models are measured on, with its tokens."""
    from causeway.engine.analyses.edit.edit_sweep import Items, text_row
    from causeway.engine.choosing import TRAIN, by_split, divided

    prompts, unrelated = _scorable(model, task, "prompts"), _scorable(model, others, "unrelated")
    with named("held_out"):
        choosing = divided([p.record for p in prompts], FLAGS.held_out, TRAIN if by_split(task) else "", FLAGS.seed)
    with named("unrelated_data"):
        rows = [text_row(model, text, FLAGS.length) for text in texts]
    with named("prompts"):
        return Items(prompts, choosing, unrelated, rows)


def _scorable(model: Model, records: list[PromptRecord], flag: str) -> list[TokenizedPrompt]:
    records = prompt_records.rendered(model, records, flag) if records else []
    return prompt_records.scorable(model, records, "scored", flag)


def _check_export(model: Model) -> None:
    from causeway.ports.models.published_write import check_folder

    if FLAGS.export:
        with named("export"):
            check_folder(Path(FLAGS.export), model, FLAGS.overwrite)


def _write(out: Path, model: Model, found: EditResults, items: Items) -> None:
    """All files of --out, then the chosen model."""
    from causeway.engine.sweep.checksums import written_alone
    from causeway.engine.sweep.environment import environment
    from causeway.ports.models.published_write import save_model
    from causeway.ports.results.edit_files import FILES, remove_edits, write_edits

    about = {"model": model.name, "model_fingerprint": model.fingerprint, "environment": environment()}
    summary = found.summary()
    with written_alone(out, [*FILES, chat_flags.RENDERED]):
        remove_edits(out)
        reading_flags.claim(out, NAME)
        chat_flags.keep(out / chat_flags.RENDERED, [prompt.record for prompt in items.task])
        write_edits(out, found.table(), {**summary, "export": FLAGS.export, **about})
    print(f"chosen, {summary['chosen']['kind']}: {found.sweep.settings[found.chosen]}")
    print("\n".join(summary["verdict"]))
    print(f"everything is in {out}")
    if FLAGS.export:
        save_model(model, Path(FLAGS.export), found.edits, overwrite=FLAGS.overwrite)
        print(f"the edited model is in {FLAGS.export}, which --model takes")


if __name__ == "__main__":
    run_driver(main, sys.argv)
