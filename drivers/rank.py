"""Which layers and neurons do the answers depend on?

Layers by ablation: zero or the mean in place of what an MLP writes, all tokens or the last, everything run on or paths
held. Neurons by mean |activation|, variance, direct effect and gradient saliency. What some prompts choose (the split
`train`, else those not held out) is estimated on the others. Written to --out: neurons.parquet (an input of --neurons),
all_neurons.parquet, layers.parquet and rank.json.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from causeway.drivers.flags import model_flags, prompt_records, reading_flags
from causeway.drivers.flags.flag_values import absent, folder, named, no_effect
from causeway.drivers.flags.refusals import run_driver
from causeway.drivers.flags.table import PROCESSES, take

if TYPE_CHECKING:
    from causeway.engine.analyses.rank.rank import Ranking, Settings
    from causeway.engine.model.handle import Model
    from causeway.engine.tokenized_prompt import TokenizedPrompt

FLAGS = take(
    f"behaviours splits criteria keep_layers attention include_first seed out overwrite {PROCESSES}", keep=100,
    held_out=0.5, batch_rows=16,
)  # fmt: skip


def main(_: list[str]) -> None:
    """Read prompts, rank, write."""
    out, settings = _checked_directory(), _settings()
    from causeway.engine.choosing import by_split
    from causeway.engine.prompt_record import check_pair
    from causeway.engine.sweep.checksums import written_alone
    from causeway.ports.results.rank_files import FILES, remove_ranking

    records = prompt_records.read(check_pair, behaviours=FLAGS.behaviours, splits=FLAGS.splits)
    if by_split(records):
        no_effect("where prompts of the split train choose and those of others estimate", "held_out", "seed")
    model = model_flags.load_model()
    with named("layers"):
        settings.chosen_layers(model.config)
    prompts = prompt_records.scorable(model, prompt_records.rendered(model, records), "ranked on")
    found = _ranked(model, prompts, settings)
    with written_alone(out, FILES):
        remove_ranking(out)
        reading_flags.claim(out, "rank")
        _write(out, model, prompts, found)
    print(f"everything is in {out}")


def _checked_directory() -> Path:
    """--out, after the checks that need no model."""
    from causeway.ports.results.rank_files import ABOUT

    out = folder("out")
    no_effect("where the model alone is asked", "dictionaries", "gating")
    if not reading_flags.claimed(out, "rank"):
        absent([out / ABOUT])
    return out


def _settings() -> Settings:
    from causeway.engine.analyses.rank.rank import Settings
    from causeway.engine.stats.splits import check_share

    check_share(FLAGS.held_out)
    return Settings(
        model_flags.layers(), FLAGS.keep_layers, FLAGS.keep, tuple(FLAGS.criteria), FLAGS.attention,
        0 if FLAGS.include_first else 1, FLAGS.batch_rows,
    )  # fmt: skip


def _ranked(model: Model, prompts: list[TokenizedPrompt], settings: Settings) -> Ranking:
    from causeway.engine.analyses.rank.questions import estimating, questions, sides
    from causeway.engine.analyses.rank.rank import check_rank, rank_prompts

    with named("prompts"):
        asked = questions(prompts, settings.first)
        check_rank(model, asked, settings)
        apart = estimating([prompt.record for prompt in prompts], FLAGS.held_out, FLAGS.seed)
    choosing, others = sides(asked, apart)
    kept = reading_flags.kept(model, "rank")
    return rank_prompts(model, choosing, others, settings, parallel=model_flags.parallel(), kept=kept)


def _write(out: Path, model: Model, prompts: list[TokenizedPrompt], found: Ranking) -> None:
    from causeway.engine.analyses.rank.rank import lines
    from causeway.engine.choosing import by_split
    from causeway.engine.sweep.environment import environment
    from causeway.ports.results.rank_files import write_ranking

    own = by_split([prompt.record for prompt in prompts])
    chosen_by = "the split train" if own else f"those not held out: share {FLAGS.held_out}, seed {FLAGS.seed}"
    about = {
        "model": model.name, "model_fingerprint": model.fingerprint, **found.about, "chosen_by": chosen_by,
        "environment": environment(),
    }  # fmt: skip
    write_ranking(out, found.neurons, found.all_neurons, found.layers, about)
    for line in lines(found):
        print(line)


if __name__ == "__main__":
    run_driver(main, sys.argv)
