"""Which tokens and words does each feature add to what the model writes, or remove, and which decisions does it move?

Read from --results: the published study's response logs, or a finished workdir of patch_sweep with sampled answers.
Words are compared between each patched arm and its reference in one context, clustered by response (of ten prompts or
more by prompt), with q over words and features; tokens are those of --model, of which only the tokenizer is read.
Written to --out: associations.parquet, outcomes.parquet (decisions under every parser, and lengths),
token_associations.json, feature_word_effects_{contrast}.json and tokens.json.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from causeway.drivers.flags import prompt_records
from causeway.drivers.flags.flag_values import absent, folder, given, named, no_effect
from causeway.drivers.flags.refusals import run_driver
from causeway.drivers.flags.table import take

if TYPE_CHECKING:
    from pathlib import Path

    from causeway.engine.analyses.tokens.tokens import Asked, TokenEffects
    from causeway.engine.earlier_results import EarlierResults
    from causeway.engine.model.text import Tokenizer

FLAGS = take(
    "results features units reference min_count prior exact_test echo until_decision parser correction alpha keep out "
    "overwrite", model=None,
)  # fmt: skip


def main(_: list[str]) -> None:
    """Read responses, compare their words, write."""
    out, asked = _checked_directory(), _asked()
    from causeway.engine.analyses.tokens.request import chosen, of_results
    from causeway.engine.analyses.tokens.summary import lines
    from causeway.engine.sweep.checksums import written_alone
    from causeway.ports.prompts.sweep_inputs import read_feature_table
    from causeway.ports.results import token_files as files
    from causeway.ports.results.study_files import read_earlier

    records = prompt_records.read() if FLAGS.prompts else None
    with named("features"):
        features = read_feature_table(FLAGS.features) if FLAGS.features else None
    tokenizer = _tokenizer()
    with named("results"):
        results = chosen(read_earlier(FLAGS.results), features)
        found = of_results(results, asked, tokenizer, records)
    with written_alone(out, files.names(found.contrasts)):
        files.remove_tokens(out)
        _write(out, found, results, tokenizer)
    print("\n".join(lines(found.associations, found.outcomes, found.about, FLAGS.alpha)))
    print(f"everything is in {out}: {', '.join(files.names(found.contrasts))}")


def _checked_directory() -> Path:
    """--out, after the checks that need no file."""
    from causeway.ports.results.token_files import ABOUT

    given("results", "the folder of an earlier study, or the workdir of a patch_sweep with --outcome=sampled")
    out = folder("out")
    no_effect("where the texts of prompts alone are asked", "chat", "system", "generation_prompt")
    if not FLAGS.prompts:
        no_effect("without --prompts", "skip_bad")
    if not FLAGS.until_decision:
        no_effect("without --until_decision", "parser")
    absent([out / ABOUT])
    return out


def _asked() -> Asked:
    """What the flags ask for."""
    from causeway.engine.analyses.tokens.request import asked

    return asked(
        units=FLAGS.units or None, tokens=bool(FLAGS.model), reference=FLAGS.reference, min_count=FLAGS.min_count,
        prior=FLAGS.prior, exact_test=FLAGS.exact_test, echo=FLAGS.echo, correction=FLAGS.correction,
        until_decision=(FLAGS.parser or "three_state") if FLAGS.until_decision else "",
    )  # fmt: skip


def _tokenizer() -> Tokenizer | None:
    """That of --model; no weights are read."""
    if not FLAGS.model:
        return None
    from causeway.ports.models.tokenizer import tokenizer_of

    with named("model"):
        return tokenizer_of(FLAGS.model)


def _write(out: Path, found: TokenEffects, results: EarlierResults, tokenizer: Tokenizer | None) -> None:
    """The tables, what of them is for reading, and what they are."""
    from causeway.engine.analyses.tokens.summary import effects, entries
    from causeway.engine.sweep.environment import environment
    from causeway.ports.results.recorded_inputs import earlier_read
    from causeway.ports.results.token_files import write_tokens

    about = {
        **found.about, "alpha": FLAGS.alpha, "keep": FLAGS.keep, "results": FLAGS.results, "files": results.files,
        "kind": results.kind, "model": FLAGS.model, "tokenizer": tokenizer.fingerprint if tokenizer else None,
        "environment": environment(), **earlier_read(FLAGS.results, results, FLAGS.features),
    }  # fmt: skip
    write_tokens(
        out, found.associations, found.outcomes, entries(found.associations, FLAGS.alpha, FLAGS.keep),
        {name: effects(found.associations, name, FLAGS.alpha, FLAGS.keep) for name in found.contrasts}, about,
    )  # fmt: skip


if __name__ == "__main__":
    run_driver(main, sys.argv)
