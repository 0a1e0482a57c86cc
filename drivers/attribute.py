"""What inside the model makes it answer as it does? Attribution graphs of one prompt, or of a behaviour's prompts.

One prompt: --prompt="The cat", explained by its most probable next tokens, by --target tokens, or by the difference of
two answers, --correct=" is" --incorrect=" are". Many: --prompts=FILE, JSON lines with prompt, correct_answer and
incorrect_answer (the files of `prompts`; a field `roles` names places to align). Written to --workdir: graphs/,
scores.jsonl, graphs.parquet (every graph whole), and {behaviour}/attribution_graph_{split}.json and .graphml: means
over prompts. The same command resumes.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ml_collections import config_flags

from causeway.drivers.flags import chat_flags, graph_files, model_flags, prompt_flags
from causeway.drivers.flags.config_values import section, take_values
from causeway.drivers.flags.flag_values import folder, no_effect
from causeway.drivers.flags.refusals import run_driver
from causeway.drivers.flags.table import take

if TYPE_CHECKING:
    from causeway.engine.analyses.attribute.graph_sweep import GraphSweep
    from causeway.engine.prompt_record import PromptRecord

config_flags.DEFINE_config_file("config", None, "Values of flags, such as configs/circuits_qwen3_4b.py.")
FLAGS = take(
    "target unit_prompts max_feature_nodes all_features max_logits desired_logit_prob update_every edge_floor "
    "cut max_nodes edges_per_node seed held_out as_published",
    batch_rows=32,
)


def main(_: list[str]) -> None:
    """Gather prompts, compute their graphs, write them, aggregate."""
    take_values("attribute")
    workdir = folder("workdir")
    _check()
    from causeway.engine.sweep.job import run

    sweep, records = _sweep()
    sweep.check_held_out(FLAGS.held_out if FLAGS.prompts else 0.0)
    if run(sweep, workdir, repair=FLAGS.repair).stopped:
        sys.exit(prompt_flags.STOPPED)
    with prompt_flags.alone(workdir):
        chat_flags.keep(workdir / chat_flags.RENDERED, records)
        _write_graphs(sweep, workdir)
        for behaviour, split in sweep.groups() if FLAGS.prompts else ():
            _write_aggregate(sweep, workdir, behaviour, split)
    print(f"everything is in {workdir}: graphs/, scores.jsonl, graphs.parquet")


def _check() -> None:
    """What needs no model."""
    prompt_flags.check()
    model_flags.dictionaries_named(transcoders=True)
    many, answers = bool(FLAGS.prompts), FLAGS.correct is not None
    if many + answers + bool(FLAGS.target) > 1:
        raise ValueError("--target, --correct: needs one kind of target; lines of --prompts bring their own answers")
    if not many:
        no_effect("on one prompt", "held_out", "seed", "max_nodes", "edges_per_node", "unit_prompts", "skip_bad")
    if many or answers or FLAGS.target:
        no_effect("where it is said what is explained", "max_logits", "desired_logit_prob")
    if FLAGS.all_features:
        no_effect("with --all_features", "max_feature_nodes")
    if FLAGS.as_published and not many:
        raise ValueError("--as_published: is an aggregate over prompts; needs --prompts")
    if FLAGS.as_published:
        from causeway.engine.analyses.as_published.aggregate import check_values

        check_values(section("as_published"), "--config: as_published")
    graph_files.check()


def _sweep() -> tuple[GraphSweep, list[PromptRecord]]:
    """What is computed, and its prompts as they are run."""
    from causeway.engine.analyses.attribute.attribution_plan import AttributionPlan
    from causeway.engine.analyses.attribute.graph_sweep import GraphSweep

    plan = AttributionPlan(
        max_feature_nodes=None if FLAGS.all_features else FLAGS.max_feature_nodes, max_logits=FLAGS.max_logits,
        desired_logit_prob=FLAGS.desired_logit_prob, update_every=FLAGS.update_every, rows=FLAGS.batch_rows,
        edge_floor=FLAGS.edge_floor, cut=FLAGS.cut,
    )  # fmt: skip
    records = prompt_flags.read()
    model = model_flags.load_model()
    transcoders = model_flags.load_dictionaries(model, transcoders=True)
    records = prompt_flags.rendered(model, records)
    prompts = prompt_flags.prompts(model, records, FLAGS.target)
    return GraphSweep(model, transcoders, prompts, plan, model_flags.parallel(), FLAGS.unit_prompts), records


def _write_graphs(sweep: GraphSweep, workdir: Path) -> None:
    from causeway.engine.analyses.intervene import graph_summary
    from causeway.engine.sweep.durable import write_bytes
    from causeway.ports.graphs.save import graph_slugs

    records, slugs = [], graph_slugs([prompt.id for prompt in sweep.prompts])
    for slug, (prompt, graph) in zip(slugs, sweep.graphs(workdir), strict=True):
        records.append(graph_files.write(workdir / "graphs", slug, sweep, prompt, graph))
        print(
            "{slug}: graph of {features} of {active} active features, replacement {replacement:.3f}, completeness "
            "{completeness:.3f}; after pruning {kept_features} features, {kept_edges} edges".format(**records[-1])
        )
        if FLAGS.prompt:
            print("\n".join(graph_summary.prompt_lines(sweep.model, sweep.transcoders, prompt, graph)))
    write_bytes(workdir / "scores.jsonl", "".join(json.dumps(record) + "\n" for record in records).encode())


def _write_aggregate(sweep: GraphSweep, workdir: Path, behaviour: str, split: str) -> None:
    from causeway.engine.analyses.as_published.aggregate import published_of_group
    from causeway.engine.analyses.attribute.aggregate import AggregateSettings, aggregate
    from causeway.engine.analyses.intervene.graph_summary import aggregate_lines
    from causeway.ports.graphs import aggregate_files

    settings = AggregateSettings(FLAGS.max_nodes, FLAGS.edges_per_node, seed=FLAGS.seed, held_out=FLAGS.held_out)
    group, about = (behaviour, split), {"model": sweep.model.name, "behaviour": behaviour, "split": split}
    found = aggregate(
        lambda: ((p.roles, graph) for p, graph in sweep.graphs(workdir, group)), settings, sweep.ids_of(group)
    )
    paths = aggregate_files.write_aggregate(workdir / behaviour, split, found, about)
    if FLAGS.as_published:
        published = published_of_group(sweep, group, section("as_published"))
        paths += aggregate_files.write_as_published(workdir / behaviour, split, published, about)
    print(f"{behaviour} {split}: mean effects over {found.prompts} prompts, by size; {', '.join(map(str, paths))}")
    print("\n".join(aggregate_lines(found)))


if __name__ == "__main__":
    run_driver(main, sys.argv)
