"""Which features drive which, along which chains, and as much as gradients say?

Gradients propose sources of each target feature (--features) among the features of all lower layers, on one half of
the prompts. On the other half each source is set (--set_to) and its targets are read, beside random features that push
as hard. Chains of validated pairs are scored by what of their effect goes through their inner features. Written to
--workdir: pathways.parquet, chains.parquet, candidates.parquet, validated_pathways.json, pathways.graphml and
pathways.json. The same command resumes. --prototype tries one feature, before all: single_feature_test.json.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from causeway.drivers.flags import model_flags, pathway_targets, prompt_records
from causeway.drivers.flags.flag_values import folder, named
from causeway.drivers.flags.refusals import run_driver
from causeway.drivers.flags.table import PROCESSES, take

if TYPE_CHECKING:
    import pyarrow as pa

    from causeway.engine.analyses.pathways.pathways import Asked, Settings
    from causeway.engine.analyses.pathways.programs import Derivative
    from causeway.engine.analyses.pathways.selection import Rule as SelectionRule
    from causeway.engine.prompt_record import PromptRecord
    from causeway.engine.stats.multiple import Method

FLAGS = take(
    "behaviours splits derivative position candidates top select_by least_effect random_pairs longest_chain chains "
    f"alpha tau correction seed workdir plan {PROCESSES}",
    scope="positions:1:", random_draws=19,
)  # fmt: skip


def main(_: list[str]) -> None:
    """Read targets and prompts, then find pathways or try one feature."""
    workdir = folder("workdir")
    if FLAGS.plan == "measured":
        raise ValueError("--plan: got measured; pathways is planned from shapes alone; use --plan")
    table, settings = pathway_targets.table(workdir), _settings()
    records = prompt_records.read(behaviours=FLAGS.behaviours, splits=FLAGS.splits)
    asked = _asked(table, records, settings)
    if FLAGS.plan:
        _plan(asked)
    elif FLAGS.prototype:
        _prototype(workdir, asked)
    else:
        _pathways(workdir, asked)


def _settings() -> Settings:
    from causeway.engine.analyses.pathways.estimates import Rule
    from causeway.engine.analyses.pathways.pathways import Settings
    from causeway.engine.analyses.pathways.selection import Choice

    choice = Choice(
        cast("SelectionRule", FLAGS.select_by), FLAGS.top, FLAGS.least_effect, FLAGS.random_pairs, FLAGS.seed
    )  # fmt: skip
    return Settings(
        cast("Derivative", FLAGS.derivative), FLAGS.position, FLAGS.scope, FLAGS.candidates, FLAGS.random_pairs,
        choice, Rule(FLAGS.alpha, FLAGS.tau, cast("Method", FLAGS.correction)), FLAGS.random_draws,
        FLAGS.longest_chain, FLAGS.chains, FLAGS.seed,
    )  # fmt: skip


def _asked(table: pa.Table, records: list[PromptRecord], settings: Settings) -> Asked:
    """What is asked of the model, checked before anything runs."""
    from causeway.engine.analyses.pathways import asking
    from causeway.engine.analyses.pathways.pathways import Asked, halves
    from causeway.engine.analyses.pathways.prompts import placed_prompts
    from causeway.engine.stats.paired import verdict

    with named("set_to"):
        values = asking.planned_values(table, FLAGS.set_to)
    model_flags.dictionaries_named()
    model = model_flags.load_model()
    dictionary = model_flags.load_dictionaries(model)
    wanted: Any = [FLAGS.prototype] if FLAGS.prototype else table
    with named("prototype" if FLAGS.prototype else "features"):
        targets = asking.target_nodes(wanted, dictionary, "target")
        if not FLAGS.prototype and (left := pathway_targets.distinct(table) - len(targets)):
            print(f"{left} targets of the lowest layer with a dictionary are left out: nothing is below them")
    rendered = prompt_records.rendered(model, records)

    def placed(record: PromptRecord) -> PromptRecord:
        placed_prompts(model, [record], settings.position, settings.scope)
        return record

    with named("prompts"):
        both = halves(prompt_records.usable(rendered, placed, "read"), settings.seed)
    if not FLAGS.prototype and (few := verdict(len(both[1]))):
        print(f"half of the prompts measures; {few}", flush=True)
    return Asked(model, dictionary, *both, targets, values, settings, model_flags.parallel())


def _plan(asked: Asked) -> None:
    """What it will take, by the figures of `study --plan`: sources that targets share counted for each."""
    from causeway.drivers.stages.facts import facts_alone
    from causeway.drivers.stages.shapes import machine
    from causeway.engine.analyses.study.plan import alone, from_shapes

    lengths = [len(prompt.tokens) for prompt in (*asked.placed(asked.choosing), *asked.placed(asked.estimating))]
    facts = facts_alone("pathways", FLAGS.flag_values_dict(), lengths, len(asked.targets))
    print(alone(from_shapes("pathways", "pathways", facts, machine)))


def _pathways(workdir: Path, asked: Asked) -> None:
    from causeway.engine.analyses.pathways import summary
    from causeway.engine.analyses.pathways.pathways import find_pathways
    from causeway.engine.sweep.checksums import written_alone
    from causeway.engine.sweep.environment import environment
    from causeway.ports.results.pathway_files import FILES, write_pathways
    from causeway.ports.results.recorded_inputs import earlier_read

    found = find_pathways(asked, workdir)
    about = {**summary.summarise(found), **earlier_read(None, None, FLAGS.features), "environment": environment()}
    with written_alone(workdir, FILES):
        write_pathways(
            workdir, found.pathways, found.chains, found.parts(), summary.validated(found), about
        )  # fmt: skip
    print("\n".join([*summary.lines(found), f"everything is in {workdir}"]))


def _prototype(workdir: Path, asked: Asked) -> None:
    from causeway.engine.analyses.pathways.prototype import lines, prototype
    from causeway.engine.sweep.checksums import written_alone
    from causeway.engine.sweep.environment import environment
    from causeway.ports.files.json_text import write_json
    from causeway.ports.results.pathway_files import PROTOTYPE

    found = prototype(asked)
    with written_alone(workdir, (PROTOTYPE,)):
        write_json(workdir / PROTOTYPE, {**found, "environment": environment()})
    print("\n".join([*lines(found), f"everything is in {workdir / PROTOTYPE}"]))


if __name__ == "__main__":
    run_driver(main, sys.argv)
