"""What does the model's stream hold where it answers each prompt, and is the answer right?

One vector a prompt, from one pass: the last norm's output (or the stream after a layer) at the last prompt token (or
another one, --position). Prompts with a right and a wrong answer are scored, with --generate they are also answered.
Written to --out: representations.npy [P, D], metadata.jsonl (the prompts in that order, an input of --prompts, with
margin, correct and more) and represent.json; with --record_logits top_logits.parquet, with --full residuals.zarr.
"""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from causeway.drivers.flags import model_flags, prompt_records, reading_flags
from causeway.drivers.flags.flag_values import absent, folder, named, no_effect
from causeway.drivers.flags.refusals import run_driver
from causeway.drivers.flags.table import take

if TYPE_CHECKING:
    from causeway.engine.calls.continuations import Continuation
    from causeway.engine.model.handle import Model
    from causeway.engine.prompt_record import PromptRecord
    from causeway.engine.tokenized_prompt import TokenizedPrompt

FLAGS = take(
    "behaviours splits position generate max_new_tokens record_logits full out overwrite", stream="final_norm",
    batch_rows=16,
)  # fmt: skip


def main(_: list[str]) -> None:
    """Read prompts, run them, write."""
    out = _checked_directory()
    from causeway.engine.analyses.represent.streams import represented_place
    from causeway.engine.analyses.represent.top_logits import check_k
    from causeway.engine.sweep.checksums import written_alone
    from causeway.ports.results.representation_files import FILES, check_room, remove_representations

    records = prompt_records.read(behaviours=FLAGS.behaviours, splits=FLAGS.splits)
    model = model_flags.load_model()
    check_k(model, FLAGS.record_logits)
    place = represented_place(model, FLAGS.stream)
    records = prompt_records.rendered(model, records)
    prompts = prompt_records.usable(records, lambda record: _runnable(model, record), "represented")
    if FLAGS.full:
        with named("full"):
            size = check_room(out, [len(prompt.tokens) for prompt, _ in prompts], model.config.d_model)
        print(f"the stream at all tokens takes up to {size / 1e6:,.1f} MB")
    written = _written(out, model, [prompt for prompt, _ in prompts])
    with written_alone(out, FILES):
        remove_representations(out)
        reading_flags.claim(out, "represent")
        _represent(out, model, place, prompts, written)
    print(f"everything is in {out}")


def _checked_directory() -> Path:
    """--out, after the checks that need no model."""
    from causeway.ports.results.representation_files import ABOUT

    out = folder("out")
    no_effect("where the model alone is asked", "dictionaries", "layers", "gating")
    if not FLAGS.generate:
        no_effect("without --generate", "max_new_tokens", "record_logits")
    if not reading_flags.claimed(out, "represent"):
        absent([out / ABOUT])
    return out


def _runnable(model: Model, record: PromptRecord) -> tuple[TokenizedPrompt, int]:
    """A prompt with its tokens, and where it is read."""
    from causeway.engine.analyses.represent.labels import answerable
    from causeway.engine.analyses.represent.streams import output_position

    prompt = answerable(model, record)
    return prompt, output_position(model, prompt, FLAGS.position)


def _written(out: Path, model: Model, prompts: list[TokenizedPrompt]) -> list[Continuation] | None:
    """What the model writes, from where an earlier run was stopped; None without --generate."""
    if not FLAGS.generate:
        return None
    from causeway.engine.analyses.evaluate.final_answers import continuations_of
    from causeway.engine.analyses.represent.labels import written_fields
    from causeway.engine.calls.continuations import Continuation, written

    with named("generate"):
        written_fields(prompts, [Continuation((), "")] * len(prompts))  # refuses final answers that are no numbers
        wanted = continuations_of(model, [prompt.record for prompt in prompts], FLAGS.max_new_tokens)
    if (found := written(wanted, out)) is None:
        sys.exit(3)
    return found


def _represent(
    out: Path, model: Model, place: Any, prompts: list[tuple[TokenizedPrompt, int]], written: list[Continuation] | None
) -> None:  # fmt: skip
    from causeway.engine.analyses.represent.labels import label_counts
    from causeway.engine.analyses.represent.represent import represented
    from causeway.engine.analyses.represent.top_logits import top_logits
    from causeway.engine.sweep.environment import environment
    from causeway.ports.results.representation_files import ResidualFile, write_representations

    listed, positions = [prompt for prompt, _ in prompts], [position for _, position in prompts]
    options: dict[str, Any] = {"batch_rows": FLAGS.batch_rows, "parallel": model_flags.parallel()}
    lengths = [len(prompt.tokens) for prompt in listed]
    tokens = ResidualFile(out, lengths, model.config.d_model) if FLAGS.full else None
    found = represented(
        model, listed, positions, place, written=written, tokens=tokens, **options,
        kept=lambda name: reading_flags.kept(model, "represent", name),
    )  # fmt: skip
    logits = None
    if FLAGS.record_logits and written is not None:
        kept = reading_flags.kept(model, "represent", "logits")
        logits = top_logits(model, listed, written, FLAGS.record_logits, kept=kept, **options)
    counts = label_counts(found.records)
    about = {"model": model.name, "position": FLAGS.position, **counts, "environment": environment()}
    write_representations(out, dataclasses.replace(found, about=about), logits)
    by = ", ".join(f"{count} by {source}" for source, count in counts["label_source"].items()) or "none labelled"
    print(f"{counts['prompts']} prompts: {counts['right']} right, {counts['wrong']} wrong; {by}")


if __name__ == "__main__":
    run_driver(main, sys.argv)
