"""Which words put into a prompt make the model err, as its neurons say, and does it err with them?

Words of neurons' decompositions (--decompositions), weighted by their second-order scores (--neurons), or --words.
Some prompts (the split `train`, else those not held out) choose those that push the direction furthest the wrong way;
the others tell how often the model errs with them, with random words, words of the other way and none. Written to
--out: adversarial.jsonl (prompts of all arms, which --prompts reads), words.parquet and adversarial.json (rates with
intervals, and what follows).
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

from causeway.drivers.flags import chat_flags, model_flags, neuron_flags, prompt_records, reading_flags, word_flags
from causeway.drivers.flags.flag_values import absent, folder, named, no_effect
from causeway.drivers.flags.refusals import run_driver
from causeway.drivers.flags.table import PROCESSES, take

if TYPE_CHECKING:
    from causeway.engine.analyses.adversarial.adversarial import Adversarial
    from causeway.engine.analyses.adversarial.bases import Base
    from causeway.engine.analyses.adversarial.fillings import Make
    from causeway.engine.analyses.adversarial.measure import Gauge
    from causeway.engine.model.handle import Model
    from causeway.engine.prompt_record import PromptRecord
    from causeway.engine.stats.multiple import Method

FLAGS = take(
    "directions along insert at slots num_words per_template position behaviours splits seed correction "
    f"out overwrite {PROCESSES}",
    batch_rows=16, held_out=0.5, keep=5,
)  # fmt: skip
NAME = "adversarial"


def main(_: list[str]) -> None:
    """Read words and prompts, search on some, judge on the others, write."""
    out = _checked()
    from causeway.engine.analyses.adversarial.adversarial import Wanted, adversarial_prompts
    from causeway.engine.choosing import by_split
    from causeway.engine.prompt_record import check_pair

    records = prompt_records.read(check_pair, behaviours=FLAGS.behaviours, splits=FLAGS.splits)
    if by_split(records):
        no_effect("where prompts of the split train choose and those of others are held out", "held_out")
    _check_places(records)
    model = model_flags.load_model()
    gauge = _gauge(model)
    weights, lexicon = word_flags.weights(model, gauge.name), word_flags.lexicon(model)
    make = _make(model, records)
    choosing, held, slots = _bases(records, make)
    print(f"{len(choosing)} prompts choose, {len(held)} are held out")
    correction = cast("Method", FLAGS.correction)
    wanted = Wanted(weights, slots, lexicon, FLAGS.num_words, FLAGS.keep, FLAGS.seed, correction)
    found = adversarial_prompts(gauge, choosing, held, wanted, make)
    _write(out, model, found)


def _checked() -> Path:
    """--out, after the checks that need nothing read."""
    from causeway.engine.analyses.adversarial.bases import check_insert
    from causeway.ports.results.adversarial_files import ABOUT

    out = folder("out")
    no_effect("where the model alone is asked", "dictionaries", "layers", "gating")
    word_flags.check()
    if not FLAGS.directions:
        no_effect("without --directions, where each prompt's margin is pushed", "along", "position")
    if FLAGS.insert:
        check_insert(FLAGS.insert)
    if not reading_flags.claimed(out, NAME):
        absent([out / ABOUT])
    return out


def _check_places(records: Sequence[PromptRecord]) -> None:
    """Refuse flags of places that none of the prompts has."""
    from causeway.engine.analyses.adversarial.templates import is_template

    templates = [is_template(record) for record in records]
    if not any(templates):
        no_effect("without a template among --prompts", "per_template")
    if all(templates):
        no_effect("where each prompt is a template, which says where words are put", "insert", "at")
    elif FLAGS.slots and not FLAGS.insert:
        no_effect("beside --slots without --insert", "at")


def _gauge(model: Model) -> Gauge:
    from causeway.engine.analyses.adversarial.measure import Gauge

    directions = neuron_flags.directions(FLAGS.directions, model) if FLAGS.directions else None
    return Gauge(
        model, directions, FLAGS.along or None, FLAGS.position, FLAGS.batch_rows, model_flags.parallel(),
        lambda name: reading_flags.kept(model, NAME, name),
    )  # fmt: skip


def _make(model: Model, records: Sequence[PromptRecord]) -> Make:
    """What gives the tokens of a prompt, in the chat template where that is asked for."""
    from causeway.engine.analyses.evaluate.teacher_forcing import scorable

    rendering = chat_flags.rendering(model, records)
    return lambda record: scorable(model, rendering.of(model, record))


def _bases(records: Sequence[PromptRecord], make: Make) -> tuple[list[Base], list[Base], tuple[str, ...]]:
    """Prompts that choose, those held out, and the slots that are filled."""
    from causeway.engine.analyses.adversarial.bases import WORD
    from causeway.engine.analyses.adversarial.request import INSERT, asked_slots, filled_slots, sides
    from causeway.engine.analyses.adversarial.templates import bases_of

    with named("slots"):
        asked = asked_slots(FLAGS.slots)
    put = FLAGS.insert or ("" if asked else INSERT)

    def checked(record: PromptRecord) -> list[Base]:
        found = bases_of(record, asked, put, FLAGS.at, FLAGS.per_template, FLAGS.seed)
        for base in found:
            make(base.record)
        return found

    bases = [base for found in prompt_records.usable(records, checked, "filled") for base in found]
    with named("held_out"):
        choosing, held = sides(bases, FLAGS.held_out, FLAGS.seed)
    if WORD not in (slots := filled_slots(bases, asked)):
        no_effect("where values alone are replaced, by others of their slot", "lexicon")
    return choosing, held, slots


def _write(out: Path, model: Model, found: Adversarial) -> None:
    from causeway.engine.sweep.checksums import written_alone
    from causeway.engine.sweep.environment import environment
    from causeway.ports.results.adversarial_files import FILES, remove_adversarial, write_adversarial

    about = {"model": model.name, "model_fingerprint": model.fingerprint, "environment": environment()}
    with written_alone(out, FILES):
        reading_flags.claim(out, NAME)
        remove_adversarial(out)
        write_adversarial(out, found.prompts, found.words, {**found.summary, **about})
    print("\n".join(found.lines()))
    print(f"everything is in {out}")


if __name__ == "__main__":
    run_driver(main, sys.argv)
